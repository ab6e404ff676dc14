"""A refiner that takes its time, so that a run can be killed."""

from time import sleep
from typing import Any

from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.pamr import PAMRRefiner
from mmseg_g4seg.registry import register


@register
class SlowRefiner(Refiner):
    """Sleeps before every batch, then does what PAMR does."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def refine_batch(self, *arguments: Any, **options: Any) -> list[Prediction]:
        sleep(self.seconds)
        return PAMRRefiner(1, [1]).refine_batch(*arguments, **options)
