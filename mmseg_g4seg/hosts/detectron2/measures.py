"""What is measured of each kind of output, before and after."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from mmseg_g4seg.evaluation.html.extremes import Extremes
from mmseg_g4seg.evaluation.report import EvaluationReport

HOMES = {'sem_seg': 'semantic_measure', 'panoptic_seg': 'panoptic_measure', 'instances': 'instance_measure'}
"""The modules of the measures, imported when one is asked for: mask AP needs pycocotools."""
_MEASURES: dict[str, type['Measure']] = {}


class Measure(ABC):
    """What is measured of one kind of output, before and after: mIoU, PQ, AP."""

    output: ClassVar[str]
    """Which of the outputs is measured; the files go into a folder of this name."""
    extremes: Extremes
    """Pictures of a run for the report's page, which `record` draws; an evaluator starts it anew."""

    @abstractmethod
    def __init__(self, dataset_name: str) -> None:
        """Reads what is measured against; raises ValueError where the data set lacks it."""

    @abstractmethod
    def record(self, inputs: Mapping[str, Any], output: Mapping[str, Any]) -> Any:
        """One image's share: small, picklable.

        Args:
            inputs: of the model for this image.
            output: of the model, with `..._coarse` beside where it was refined.
        """

    @abstractmethod
    def report(self, records: Sequence[Any]) -> EvaluationReport:
        """Sums up the records of all images, in the order of the data set."""


MEASURE = TypeVar('MEASURE', bound=type[Measure])


def measures(output: str) -> Callable[[MEASURE], MEASURE]:
    """Class decorator: a `Measure` of the outputs of this name."""

    def decorate(cls: MEASURE) -> MEASURE:
        cls.output = output
        _MEASURES[output] = cls
        return cls

    return decorate


def find_measure(output: str) -> type[Measure]:
    """The measure of an output.

    Raises:
        ValueError: if there is none.
    """
    if output in HOMES:
        import_module(f'.{HOMES[output]}', __package__)
    if output not in _MEASURES:
        raise ValueError(f'measures: expected some of {sorted({*HOMES, *_MEASURES})}, got {output!r}')
    return _MEASURES[output]
