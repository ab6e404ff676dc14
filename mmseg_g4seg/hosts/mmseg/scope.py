"""Our scope in mmengine's registries: what a config takes from a base `mmseg_g4seg::…` is looked up in it."""

from mmengine.registry import Registry
from mmseg import registry as registries

SCOPE = 'mmseg_g4seg'


def add_scope() -> None:
    """Gives each of mmseg's registries a child of our scope, once.

    mmengine writes `_scope_='mmseg_g4seg'` into every dict of such a base. Without a registry of that scope it looks
    in its own root, where neither mmseg's parts are nor ours, which are registered as mmseg's.
    """
    for registry in vars(registries).values():
        if isinstance(registry, Registry) and SCOPE not in registry.children:
            # the locations too: a child that is asked imports its own, not its parent's
            Registry(registry.name, parent=registry, scope=SCOPE, locations=[*registry._locations])
