"""Builds sources from names and configs."""

from collections.abc import Mapping
from typing import Any

from mmseg_g4seg.registry import build, parts_of

from .base import CoarseSource


def source_methods() -> dict[str, dict[str, Any]]:
    """Names of the methods, and the config that each stands for."""
    parts = parts_of(CoarseSource)  # type: ignore[type-abstract]
    return {name: config for part in parts for name, config in part.methods().items()}


def build_source(method: 'str | Mapping[str, Any] | CoarseSource', options: Mapping[str, Any]) -> CoarseSource:
    """Builds a source.

    Args:
        method: `seediff`, `sclip`, `groupvit` or another name of a part of this kind, in any case; or
            `dict(type='SeeDiff', ...)`. A built source passes through.
        options: of the part, such as `prior`; over the dict's.

    Raises:
        ValueError: if there is no such method, or an option is not known; names the nearest.
    """
    if isinstance(method, CoarseSource):
        return method
    if isinstance(method, str):
        known = source_methods()
        if method.lower() not in known:
            raise ValueError(f'method: expected one of {sorted(known)}, got {method!r}')
        method = known[method.lower()]
    return build({**method, **options}, CoarseSource, where='source')
