"""Builds refiners from configs."""

from collections.abc import Mapping
from typing import Any

from mmseg_g4seg.diffusion.loading import loaded_once
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.registry import build, check_option_names, without_scopes

from .base import Refiner


def build_refiner(config: 'Mapping[str, Any] | Refiner | None') -> Refiner | None:
    """Builds a refiner, with the parts inside it.

    Args:
        config: `dict(type='G4SegRefiner', prior=..., update=dict(type=...), ...)`; a built refiner and None pass
            through. Beside the refiner's own options it may have `classes=dict(background=, threshold=, known=,
            names=)`, which every host adds to what it knows of the classes, see `Refiner.class_options`.

    Raises:
        ValueError: if a part or an option is not known; names the place and the nearest.
    """
    if config is None or isinstance(config, Refiner):
        return config
    if not isinstance(config, Mapping):
        raise ValueError(f'refiner: expected dict(type=..., ...), got {config!r}')
    plain: Mapping[str, Any] = without_scopes(config)
    # of the whole chain, and not an option of any refiner in it: two stages must not differ about what background is
    options = {name: value for name, value in plain.items() if name != 'classes'}
    class_options = dict(plain.get('classes') or {})
    check_option_names(ClassList, {'names': (), **class_options}, 'refiner.classes')
    with loaded_once():
        refiner = build(options, Refiner, where='refiner')
    refiner.class_options = class_options
    return refiner
