"""A refiner whose cost is known: it sleeps, and notes when. What a run takes beyond that is the host's."""

import os
import socket
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.registry import register


@register
class FixedCost(Refiner):
    """Leaves every mask as it is, a fixed time later."""

    name = 'fixed cost'

    def __init__(self, *, seconds: float, log: str) -> None:
        """Args:
            seconds: an image.
            log: folder that each process writes a file to, a line an image: when it began, and when it ended.

        Raises:
            ValueError: if `seconds` is not above 0.
        """
        if not seconds > 0:
            raise ValueError(f'seconds: expected a number above 0, got {seconds!r}')
        self.seconds, self.log = seconds, Path(log)

    def refine_batch(
        self, images: Sequence[Any], predictions: Any, classes: Any, *, keys: Any = None
    ) -> list[Prediction]:
        for _ in images:
            began = time.time()
            time.sleep(self.seconds)
            self.file.write(f'{began} {time.time()}\n')
        return list(predictions)

    @cached_property
    def file(self) -> IO[str]:
        # one line is one write: a process that is killed leaves no half of one
        return (self.log / f'{socket.gethostname()}-{os.getpid()}').open('a', buffering=1)
