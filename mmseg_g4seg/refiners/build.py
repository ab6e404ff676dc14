"""Builds refiners from configs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mmseg_g4seg.diffusion.loading import loaded_once
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.registry import build, check_config, check_option_names, types_in, without_scopes

from .base import Refiner
from .sequential import SequentialRefiner


@dataclass(frozen=True)
class ChainPart:
    """Stages of a chain that run in one place.

    Attributes:
        stages: configs of refiners, one after the other.
        on_cpu: whether all of them compute on the CPU, whatever the device.
    """

    stages: Sequence[Mapping[str, Any]]
    on_cpu: bool

    @property
    def config(self) -> dict[str, Any]:
        """Of the refiner that has the stages."""
        return {'type': SequentialRefiner.__name__, 'refiners': list(self.stages)}


def cut_chain(config: Mapping[str, Any]) -> list[ChainPart]:
    """Cuts the config of a chain into runs of stages by where they compute; any other refiner is one part.

    Raises:
        ValueError: if a part or an option is not known, as `build_refiner`.
    """
    plain: Mapping[str, Any] = without_scopes(config)
    options = {name: value for name, value in plain.items() if name != 'classes'}
    check_config(options, 'refiner', Refiner)
    stages = options['refiners'] if options['type'] == SequentialRefiner.__name__ else [options]
    places = groupby(stages, key=lambda stage: bool(getattr(types_in(stage)[0], 'needs_cpu', False)))
    return [ChainPart(list(run), on_cpu) for on_cpu, run in places]


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
