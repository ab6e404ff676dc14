"""The refiners that the page offers, and which of their options it shows as sliders."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmseg_g4seg.hosts.arrays import read_refiner_config
from mmseg_g4seg.refiners.dense_crf import CRFParameters
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep
from mmseg_g4seg.refiners.g4seg.updates.correspondence import CorrespondenceUpdate
from mmseg_g4seg.refiners.g4seg.updates.likelihood import LikelihoodUpdate
from mmseg_g4seg.refiners.pamr import PAMRRefiner

BASES = 'mmseg_g4seg::_base_/refiners'
REFINERS = {
    'G4Seg, likelihood update': 'tiny',
    "G4Seg, the paper's update": f'{BASES}/g4seg_tiny_paper.py',
    'G4Seg, then dense CRF': f'{BASES}/g4seg_tiny_crf.py',
    'Dense CRF alone': f'{BASES}/dense_crf.py',
    'PAMR alone': f'{BASES}/pamr.py',
}
"""What runs on the embedded prior, or on none: by the name that a user reads."""


@dataclass(frozen=True)
class Parameter:
    """One option as a slider.

    Attributes:
        part: `type` of the part that has the option.
        option: of the part.
        label: that a user reads.
        low: least value.
        high: greatest value.
        step: between values; whole numbers where it is one.
        default: of the option, where a config does not say.
    """

    part: str
    option: str
    label: str
    low: float
    high: float
    step: float
    default: float


def _default(cls: type, option: str) -> Any:
    return inspect.signature(cls).parameters[option].default


PARAMETERS = (
    Parameter('G4SegRefiner', 'seed', 'Seed of the noise', 0, 99, 1, 0),
    Parameter(
        'LikelihoodUpdate', 'uncertain_below', 'Uncertain below this probability', 0, 1, 0.05,
        _default(LikelihoodUpdate, 'uncertain_below'),
    ),
    Parameter(
        'LikelihoodUpdate', 'sharpness', 'Weight of what the prior says', 0, 100, 1,
        _default(LikelihoodUpdate, 'sharpness'),
    ),
    Parameter('CorrespondenceUpdate', 'beta', 'Share of the old probability that is kept', 0, 1, 0.05,
              _default(CorrespondenceUpdate, 'beta')),
    Parameter('OneStep', 'timestep', 'Noise level of the reconstruction', 0, 999, 1, _default(OneStep, 'timestep')),
    Parameter('MaskInjector', 'cross_weight', 'Injection into cross-attention', 0, 10, 0.1, 1.0),
    Parameter('MaskInjector', 'self_weight', 'Injection into self-attention', 0, 3, 0.1, 0.3),
    Parameter('DenseCRFRefiner', 'iterations', 'Dense CRF: iterations', 1, 30, 1, CRFParameters().iterations),
    Parameter('PAMRRefiner', 'iterations', 'PAMR: iterations', 1, 30, 1, _default(PAMRRefiner, 'iterations')),
)  # fmt: skip


def read_choice(source: str) -> dict[str, Any]:
    """The config of a refiner: of a name in `REFINERS`, or of what `load_refiner` takes.

    Parts that a config leaves to their defaults are given by name, so that their options can be shown.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no refiner.
    """
    return _spelt_out(read_refiner_config(REFINERS.get(source, source)))


def parameter_values(config: Mapping[str, Any]) -> list[float | None]:
    """Value of each of `PARAMETERS` in a config; None where no part of it has the option."""
    return [_value(config, parameter) for parameter in PARAMETERS]


def with_values(config: Mapping[str, Any], values: Sequence[float | None]) -> dict[str, Any]:
    """A config with the values of the sliders; those of parts that it lacks are left out."""
    changed: dict[str, Any] = dict(config)
    for parameter, value in zip(PARAMETERS, values, strict=True):
        if value is not None:
            # a slider gives 3.0 where a seed or a number of steps is wanted
            whole = isinstance(parameter.step, int)
            changed = _changed(changed, parameter, round(value) if whole else float(value))
    return changed


def _value(config: Any, parameter: Parameter) -> float | None:
    if isinstance(config, Mapping):
        if config.get('type') == parameter.part:
            return config.get(parameter.option, parameter.default)
        config = list(config.values())
    if isinstance(config, list | tuple):
        return next((found for item in config if (found := _value(item, parameter)) is not None), None)
    return None


def _changed(config: Any, parameter: Parameter, value: float) -> Any:
    if isinstance(config, Mapping):
        inner = {name: _changed(item, parameter, value) for name, item in config.items()}
        own = {parameter.option: value} if config.get('type') == parameter.part else {}
        return {**inner, **own}
    if isinstance(config, list | tuple):
        return type(config)(_changed(item, parameter, value) for item in config)
    return config


def _spelt_out(config: Any) -> Any:
    if isinstance(config, Mapping):
        inner = {name: _spelt_out(item) for name, item in config.items()}
        if inner.get('type') == 'CorrespondenceUpdate':
            inner.setdefault('reconstruction', {'type': 'OneStep'})
        if inner.get('type') == 'G4SegRefiner':
            inner.setdefault('injection', {'type': 'MaskInjector'})
            inner.setdefault('update', _spelt_out({'type': 'CorrespondenceUpdate'}))
        return inner
    return type(config)(map(_spelt_out, config)) if isinstance(config, list | tuple) else config
