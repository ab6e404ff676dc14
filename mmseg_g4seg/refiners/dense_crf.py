"""Dense conditional random field (Kraehenbuehl and Koltun, arXiv 1210.5644) as a refiner.

Shapes: C classes of the data set, K classes present in an image, H W image size, h w the size that
inference runs at.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from itertools import starmap
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.io.images import to_pixels
from mmseg_g4seg.io.processes import process_context
from mmseg_g4seg.ops.masks import present_classes, resize_maps
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.registry import register

from .base import Refiner, check_inputs, redecide
from .crf_inference import CRFParameters, dense_crf

PRESETS: dict[str, CRFParameters] = {
    'deeplab': CRFParameters(),
    'irn': CRFParameters(10, 3.0, 3.0, 50.0, 5.0, 10.0),
    'clip_es': CRFParameters(),
}
"""What DeepLab v2's, IRN's and CLIP-ES's public code use; CLIP-ES takes DeepLab's."""


@register
class DenseCRFRefiner(Refiner):
    """Runs a dense CRF over the classes present in the coarse label map.

    Classes that do not occur in the label map get probability 0, and take no time.
    """

    name = 'dense CRF'
    needs_cpu = True

    def __init__(
        self,
        parameters: CRFParameters | None = None,
        *,
        scale: float = 1.0,
        workers: int = 0,
        memory_limit_mib: float = 8192,
    ) -> None:
        """Args:
            parameters: the potentials; default: DeepLab's.
            scale: the image is scaled by this factor for inference, in (0, 1]; deviations in pixels shrink with it.
            workers: number of processes that share a batch's images; 0 uses this process.
            memory_limit_mib: most memory for one image in each process, in MiB; larger images are processed in
                overlapping tiles.

        Raises:
            ValueError: if a number is out of range.
        """
        if not 0 < scale <= 1:
            raise ValueError(f'scale: expected a share in (0, 1], got {scale}')
        if workers < 0:
            raise ValueError(f'workers: expected 0 or more, got {workers}')
        if not memory_limit_mib > 0:
            raise ValueError(f'memory_limit_mib: expected a positive number, got {memory_limit_mib}')
        self.parameters, self.scale, self.workers = parameters or CRFParameters(), scale, workers
        self.memory_limit = int(memory_limit_mib * 2**20)

    @classmethod
    def from_config(
        cls,
        preset: str = 'deeplab',
        *,
        iterations: int | None = None,
        gaussian_sxy: float | None = None,
        gaussian_compat: float | None = None,
        bilateral_sxy: float | None = None,
        bilateral_srgb: float | None = None,
        bilateral_compat: float | None = None,
        scale: float = 1.0,
        workers: int = 0,
        memory_limit_mib: float = 8192,
    ) -> 'DenseCRFRefiner':
        """Builds the refiner from a config: a preset (`deeplab`, `irn`, `clip_es`), and numbers that override it.

        Raises:
            ValueError: if there is no such preset, or a number is out of range.
        """
        if preset not in PRESETS:
            raise ValueError(f'preset: expected one of {sorted(PRESETS)}, got {preset!r}')
        own = dict(
            iterations=iterations,
            gaussian_sxy=gaussian_sxy,
            gaussian_compat=gaussian_compat,
            bilateral_sxy=bilateral_sxy,
            bilateral_srgb=bilateral_srgb,
            bilateral_compat=bilateral_compat,
        )
        given: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        parameters = replace(PRESETS[preset], **given)
        return cls(parameters, scale=scale, workers=workers, memory_limit_mib=memory_limit_mib)

    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        classes = ClassList.of(classes)
        check_inputs(images, predictions, len(classes))
        # ADE20K has 150 classes and an image a dozen: inference over all of them would take ten times as long
        present = [present_classes(p.label_map, len(p.probs)) for p in predictions]
        chosen = [i for i, found in enumerate(present) if len(found) > 1]
        refined = list(predictions)
        tasks = ((self._pixels(images[i]), self._scores(predictions[i], present[i])) for i in chosen)
        for i, marginals in zip(chosen, self._run(tasks, len(chosen)), strict=True):
            refined[i] = self._read(marginals, predictions[i], present[i], classes)
        return refined

    def _run(self, tasks: Iterator[tuple[np.ndarray, np.ndarray]], count: int) -> Iterator[np.ndarray]:
        """Marginals (K, h, w) of each image's pixels (h, w, 3) and scores (K, h, w)."""
        infer = partial(dense_crf, parameters=self.parameters, scale=self.scale, memory_limit=self.memory_limit)
        # one image is no faster in another process, which takes seconds to start
        if self.workers == 0 or count < 2:
            return starmap(infer, tasks)
        return self._pool.map(infer, *zip(*tasks, strict=True))

    @cached_property
    def _pool(self) -> ProcessPoolExecutor:
        """Processes that start once and serve every batch."""
        return ProcessPoolExecutor(self.workers, mp_context=process_context(__name__))

    def _pixels(self, image: Tensor) -> np.ndarray:
        """(3, H, W) in [0, 1] -> (h, w, 3) uint8."""
        return to_pixels(resize_maps(image.float().cpu(), self._size(image.shape[-2:])))

    def _scores(self, prediction: Prediction, present: Sequence[int]) -> np.ndarray:
        """Probabilities of the classes present, alone: (K, h, w) float32 that sum to 1."""
        probs = resize_maps(prediction.probs[list(present)].float().cpu(), self._size(prediction.probs.shape[-2:]))
        return probs.div_(probs.sum(dim=0, keepdim=True).clamp_min(1e-12)).numpy()

    def _size(self, size: Sequence[int]) -> tuple[int, int]:
        return max(1, round(size[0] * self.scale)), max(1, round(size[1] * self.scale))

    @staticmethod
    def _read(marginals: np.ndarray, prediction: Prediction, present: Sequence[int], classes: ClassList) -> Prediction:
        """Puts (K, h, w) marginals back among all classes, on the prediction's own grid and device."""
        # what is not in the mask gets nothing: its probability went to the classes that are
        probs = torch.zeros_like(prediction.probs)
        refined = resize_maps(torch.from_numpy(marginals), probs.shape[-2:])
        probs[list(present)] = refined.to(probs)
        return redecide(prediction, probs, classes)
