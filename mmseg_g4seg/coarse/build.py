"""Builds sources from names and configs."""

from collections.abc import Mapping
from typing import Any

from mmseg_g4seg.registry import build, names_of

from .base import CoarseSource


def build_source(method: 'str | Mapping[str, Any] | CoarseSource', options: Mapping[str, Any]) -> CoarseSource:
    """Builds a source.

    Args:
        method: `seediff`, `diffsegmenter`, `daam` or another part of this kind, in any case; or
            `dict(type='SeeDiff', ...)`. A built source passes through.
        options: of the part, such as `prior`; over the dict's.

    Raises:
        ValueError: if there is no such method, or an option is not known; names the nearest.
    """
    if isinstance(method, CoarseSource):
        return method
    if isinstance(method, str):
        known = {name.lower(): name for name in names_of(CoarseSource)}
        if method.lower() not in known:
            raise ValueError(f'method: expected one of {sorted(known)}, got {method!r}')
        method = {'type': known[method.lower()]}
    return build({**method, **options}, CoarseSource, where='source')
