"""Builds sources from names and configs."""

from collections.abc import Mapping
from typing import Any

from mmseg_g4seg.registry import build, parts_of

from .base import CoarseSource


def source_methods() -> dict[str, dict[str, Any]]:
    """Names of the methods, and the config that each stands for."""
    parts = parts_of(CoarseSource)
    return {name: config for part in parts for name, config in part.methods().items()}


def source_config(method: 'str | Mapping[str, Any]', *, where: str = 'method') -> dict[str, Any]:
    """The config of a source: of a method by its name, in any case, or as it is given.

    Args:
        method: name or config.
        where: option that it is given by, for the message.

    Raises:
        ValueError: if there is no such method.
    """
    if isinstance(method, Mapping):
        return dict(method)
    known = source_methods()
    if method.lower() not in known:
        raise ValueError(f'{where}: expected one of {sorted(known)}, got {method!r}')
    return known[method.lower()]


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
    return build({**source_config(method), **options}, CoarseSource, where='source')
