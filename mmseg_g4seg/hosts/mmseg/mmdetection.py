"""Models of mmseg that live in MMDetection (Mask2Former, MaskFormer): registered, or said what is missing."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from mmengine.config.utils import MODULE2PACKAGE

HEADS = ('Mask2FormerHead', 'MaskFormerHead')


def register_mmdetection(model: dict[str, Any]) -> None:
    """Imports MMDetection's models where a model's config names one.

    Args:
        model: config of a segmentor.

    Raises:
        ImportError: if MMDetection or the compiled operators of mmcv are missing; says how to get them.
    """
    needed = next(
        (kind for kind in _types(model) if kind.rpartition('.')[2] in HEADS or kind.startswith('mmdet.')), None
    )
    if needed is None:
        return
    # packages of the host that is there: the other one's would be installed over it
    is_upstream = MODULE2PACKAGE['mmseg'] == 'mmsegmentation'
    try:
        import_module('mmcv.ops')
    except ImportError as error:
        raise ImportError(
            f"{needed} needs mmcv's compiled operators, which the installed mmcv lacks: pip install 'setuptools<81' "
            'wheel ninja psutil, then MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir '
            f'--force-reinstall --no-deps {"mmcv==2.1.0" if is_upstream else "onedl-mmcv"} '
            '(some eight minutes on two cores)'
        ) from error
    try:
        import_module('mmdet.models')
    except ImportError as error:
        package = '"mmdet>=3,<3.4"' if is_upstream else 'onedl-mmdetection'
        raise ImportError(f'{needed} needs MMDetection: pip install {package}') from error


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
