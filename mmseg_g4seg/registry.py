"""Configs that say by `type` what to build."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar('T')


def build_by_type(config: Mapping[str, Any], builders: Mapping[str, Callable[..., T]], *, what: str) -> T:
    """Builds what a config asks for.

    Args:
        config: `dict(type=name, **options)`.
        builders: what builds each type, from its options.
        what: it is, for messages.

    Raises:
        ValueError: if the type or an option is not known, or one is missing.
    """
    options = dict(config)
    kind = options.pop('type', None)
    if kind not in builders:
        raise ValueError(f'{what}: expected a type of {sorted(builders)}, got {kind!r}')
    try:
        return builders[kind](**options)
    except TypeError as error:
        if 'argument' not in str(error):
            raise
        raise ValueError(f'{what} {kind}: {error}') from error
