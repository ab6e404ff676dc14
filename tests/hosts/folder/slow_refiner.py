"""A refiner that takes its time, so that a run can be killed."""

from time import sleep
from typing import Any

from mmseg_g4seg.refiners.pamr import PAMRRefiner
from mmseg_g4seg.registry import register


@register
class SlowRefiner(PAMRRefiner):
    """Sleeps before every batch."""

    def __init__(self, seconds: float) -> None:
        super().__init__(1, [1])
        self.seconds = seconds

    def refine_batch(self, *arguments: Any, **options: Any) -> list:
        sleep(self.seconds)
        return super().refine_batch(*arguments, **options)
