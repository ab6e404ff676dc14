"""A refiner whose process can be watched, held and ended, and sources."""

import os
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any

from torch import Tensor

from mmseg_g4seg.coarse.base import CoarseSource, share_out
from mmseg_g4seg.coarse.daam import DAAM
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner, check_inputs, redecide
from mmseg_g4seg.registry import register


@register
class StubRefiner(Refiner):
    """Adds noise that follows from the key alone, and notes in a folder who was at work on what."""

    name = 'stub'

    def __init__(
        self,
        *,
        folder: str = '',
        deadly: Sequence[str] = (),
        held: Sequence[str] = (),
        free: int = 0,
        seconds: float = 0,
    ) -> None:
        """Args:
        folder: for a file `KEY.PROCESS.NUMBER` an attempt; images are held until it has a file `go`.
        deadly: keys of images that end the process.
        held: keys of images that wait.
        free: images of a process, its first ones, that do not.
        seconds: that each takes.
        """
        self.folder, self.deadly, self.held, self.free = Path(folder), deadly, held, free
        self.seconds, self.count = seconds, 0

    def refine_batch(self, images: Any, predictions: Any, classes: Any, *, keys: Any = None) -> list[Prediction]:
        classes = ClassList.of(classes)
        check_inputs(images, predictions, len(classes))
        refined = []
        for key, prediction in zip(keys, predictions, strict=True):
            self.count += 1
            if self.folder.name:
                (self.folder / f'{key}.{os.getpid()}.{self.count}').touch()
            if key in self.deadly:
                os._exit(1)
            while key in self.held and self.count > self.free and not (self.folder / 'go').exists():
                sleep(0.01)
            sleep(self.seconds)
            noise = image_noise(prediction.probs.shape, seed=0, key=key)
            refined.append(redecide(prediction, (prediction.probs.log() + noise).softmax(dim=0), classes))
        return refined


@register
class StubSource(CoarseSource):
    """Coarse masks that follow from the key alone."""

    def predict_batch(self, images: Any, classes: Any, *, keys: Any = None) -> list[Prediction]:
        shapes = [(len(classes), *image.shape[1:]) for image in images]
        noise = [image_noise(shape, seed=1, key=key).exp() for shape, key in zip(shapes, keys, strict=True)]
        return [share_out(scores, ClassList.of(classes)) for scores in noise]


@register
class DeadlyDAAM(DAAM):
    """Ends its process at the first maps that it reads, so often that its folder has `times` notes of it."""

    def __init__(self, *arguments: Any, folder: str, times: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.folder, self.times = Path(folder), times

    def map_of(self, *arguments: Any) -> Tensor:
        if len(list(self.folder.glob('died.*'))) < self.times:
            (self.folder / f'died.{os.getpid()}').touch()
            os._exit(1)
        return super().map_of(*arguments)
