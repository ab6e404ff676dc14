"""The one place that reads what a host does not promise to keep: the private attributes of mmseg and of torch."""

from typing import Any

from torch import nn

SPELLINGS = {
    'channel_conversion': ('_channel_conversion', 'channel_conversion'),
    'enable_normalize': ('_enable_normalize', 'enable_normalize'),
}
"""What an attribute is called: by the maintained continuation of mmseg (and mmengine), by mmseg 1.2.2."""

STATE = (
    '_modules',
    '_parameters',
    '_buffers',
    '_non_persistent_buffers_set',
    '_version',
    '_state_dict_pre_hooks',
    '_state_dict_hooks',
    '_load_state_dict_post_hooks',
)
"""What torch and mmengine read of a module when they save its state or load it."""


def private_attribute(owner: object, name: str) -> Any:
    """Reads a private attribute of a host's object.

    A default in place of the error would be a guess: mmseg 1.2.2 spells one of these without the underscore, and
    every picture then had red and blue exchanged.

    Args:
        owner: the host's object.
        name: a key of `SPELLINGS`.

    Raises:
        AttributeError: if the object has it under none of its spellings.
    """
    for spelling in SPELLINGS[name]:
        if hasattr(owner, spelling):
            return getattr(owner, spelling)
    raise AttributeError(
        f'{type(owner).__name__}: expected one of the attributes {", ".join(SPELLINGS[name])}, by which the picture '
        f"behind normalised inputs is recovered; found none: give the model mmseg's SegDataPreProcessor"
    )


def share_state(wrapper: nn.Module, wrapped: nn.Module) -> None:
    """Gives a wrapper the layers of the module that it wraps, under the same names.

    Whatever saves or loads one then does so with the other: keys, and the versions in `_metadata`, are the plain
    module's. With the wrapped module as a child, every key would get a prefix. Hooks can rename keys; mmengine's
    loader looks versions up under the names of the children, before and behind any hook, and finds none. Heads then
    migrate weights that are new already, and evaluate random ones.

    The dicts themselves are shared, not their entries: `to(device)` replaces buffers.
    """
    for name in STATE:
        object.__setattr__(wrapper, name, getattr(wrapped, name))
