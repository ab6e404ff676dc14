"""Models of mmseg that live in MMDetection (Mask2Former, MaskFormer): registered, or said what is missing."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

HEADS = ('Mask2FormerHead', 'MaskFormerHead')


def register_mmdetection(model: dict[str, Any]) -> None:
    """Imports MMDetection's models where a model's config names one.

    Args:
        model: config of a segmentor.

    Raises:
        ImportError: if MMDetection or the compiled operators of mmcv are missing; says how to get them.
    """
    needed = next((kind for kind in _types(model) if kind in HEADS or kind.startswith('mmdet.')), None)
    if needed is None:
        return
    try:
        import_module('mmcv.ops')
    except ImportError as error:
        raise ImportError(
            f"{needed} needs mmcv's compiled operators, which the installed mmcv lacks: pip install 'setuptools<82' "
            'ninja psutil, then MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --force-reinstall '
            '--no-deps onedl-mmcv (some eight minutes on two cores)'
        ) from error
    try:
        import_module('mmdet.models')
    except ImportError as error:
        raise ImportError(f'{needed} needs MMDetection: pip install "mmseg_g4seg[mask2former]"') from error


def _types(config: Any) -> Iterator[str]:
    """Every `type` in a config, at any depth."""
    if isinstance(config, dict):
        if isinstance(config.get('type'), str):
            yield config['type']
        for value in config.values():
            yield from _types(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _types(value)
