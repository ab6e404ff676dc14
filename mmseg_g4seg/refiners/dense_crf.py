"""Dense conditional random field (Kraehenbuehl and Koltun, arXiv 1210.5644) as a refiner.

Shapes: C classes of the data set, K classes present in an image, H W image size, h w the size that
inference runs at.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.io.images import to_pixels
from mmseg_g4seg.io.processes import process_context
from mmseg_g4seg.ops.masks import present_classes, resize_maps
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.registry import NUMBER, expect_option, register

from .base import Refiner, check_inputs, redecide

LARGEST = 1e6
"""Beyond it float32 energies overflow, and marginals are NaN."""
LATTICE_SIDE = 32767
"""pydensecrf keeps the places of its lattice in 16 bits; kernels so narrow that there are more wrap around, and the
narrowest (a deviation of 1e-8) end the process."""


@dataclass(frozen=True)
class CRFParameters:
    """Potentials under the names that the literature gives them.

    Attributes:
        iterations: mean-field steps.
        gaussian_sxy: deviation of the smoothness kernel, pixels.
        gaussian_compat: its weight.
        bilateral_sxy: deviation of the appearance kernel in place, pixels.
        bilateral_srgb: its deviation in colour, of 255.
        bilateral_compat: its weight.
    """

    iterations: int = 10
    gaussian_sxy: float = 1.0
    gaussian_compat: float = 3.0
    bilateral_sxy: float = 67.0
    bilateral_srgb: float = 3.0
    bilateral_compat: float = 4.0

    def __post_init__(self) -> None:
        expect_option('iterations', self.iterations, int, 'an integer')
        for name, value in vars(self).items():
            expect_option(name, value, NUMBER, 'a positive number')
            if not 0 <= value <= LARGEST or (name.endswith(('sxy', 'srgb')) and value == 0):  # NaN is neither
                raise ValueError(f'{name}: expected a positive number of at most {LARGEST:g}, got {value}')

    def check_fits(self, size: Sequence[int], scale: float) -> None:
        """Raises ValueError where a kernel is too narrow for an image: pydensecrf would read beyond its own lattice.

        Args:
            size: (height, width) that inference runs at.
            scale: of it to the pixels that deviations are meant for.
        """
        side = max(size)
        for name, dimensions, extent, unit in (
            ('gaussian_sxy', 2, side, scale),
            ('bilateral_sxy', 5, side, scale),
            ('bilateral_srgb', 5, 255, 1.0),
        ):
            least = (dimensions + 1) * extent / LATTICE_SIDE / unit
            if getattr(self, name) < least:
                raise ValueError(
                    f'{name}: expected at least {least:.3g} for an image of {size[0]} x {size[1]}, '
                    f'got {getattr(self, name):g}'
                )


PRESETS: dict[str, CRFParameters] = {
    'deeplab': CRFParameters(),
    'irn': CRFParameters(10, 3.0, 3.0, 50.0, 5.0, 10.0),
    'clip_es': CRFParameters(),
}
"""What DeepLab v2's, IRN's and CLIP-ES's public code use; CLIP-ES takes DeepLab's."""


@register
class DenseCRFRefiner(Refiner):
    """Runs a dense CRF over the classes present in the coarse label map.

    Classes that are not there come out with probability 0, and cost nothing: time grows with the
    classes that go in.
    """

    name = 'dense CRF'
    needs_cpu = True

    def __init__(self, parameters: CRFParameters | None = None, *, scale: float = 1.0, workers: int = 0) -> None:
        """Args:
            parameters: the potentials; DeepLab's when not given.
            scale: inference runs at this share of the image's sides, in (0, 1]; deviations in
                pixels shrink with it.
            workers: processes that share a batch's images; 0 runs in this one.

        Raises:
            ValueError: if a number is out of range.
        """
        if not 0 < scale <= 1:
            raise ValueError(f'scale: expected a share in (0, 1], got {scale}')
        if workers < 0:
            raise ValueError(f'workers: expected 0 or more, got {workers}')
        self.parameters, self.scale, self.workers = parameters or CRFParameters(), scale, workers

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
    ) -> 'DenseCRFRefiner':
        """Builds one as configs say it: a preset (`deeplab`, `irn`, `clip_es`), and potentials in place of its own.

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
        return cls(replace(PRESETS[preset], **given), scale=scale, workers=workers)

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
        tasks = [
            (self._pixels(image), self._scores(prediction, found), self.parameters, self.scale)
            for image, prediction, found in zip(images, predictions, present, strict=True)
            if len(found) > 1
        ]
        results = iter(self._run(tasks))
        return [
            self._read(next(results), prediction, found, classes) if len(found) > 1 else prediction
            for prediction, found in zip(predictions, present, strict=True)
        ]

    def _run(self, tasks: list[tuple[np.ndarray, np.ndarray, CRFParameters, float]]) -> list[np.ndarray]:
        # one image is no faster in another process, which takes seconds to start
        if self.workers == 0 or len(tasks) < 2:
            return [dense_crf(*task) for task in tasks]
        return list(self._pool.map(dense_crf, *zip(*tasks, strict=True)))

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
        return (probs / probs.sum(dim=0, keepdim=True).clamp_min(1e-12)).numpy()

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


def dense_crf(pixels: np.ndarray, probs: np.ndarray, parameters: CRFParameters, scale: float = 1.0) -> np.ndarray:
    """Mean-field inference on one image.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        probs: (K, h, w) float32, sums to 1.
        parameters: the potentials.
        scale: of the pixels to those that the deviations are meant for.

    Returns:
        (K, h, w) float32 marginals.

    Raises:
        ImportError: if pydensecrf is missing.
        ValueError: if a kernel is too narrow for the image.
    """
    try:
        from pydensecrf import densecrf
        from pydensecrf.utils import unary_from_softmax
    except ImportError as error:
        raise ImportError('dense CRF needs pydensecrf2: pip install "mmseg_g4seg[crf]"') from error
    count, height, width = probs.shape
    parameters.check_fits((height, width), scale)
    field = densecrf.DenseCRF2D(width, height, count)
    field.setUnaryEnergy(np.ascontiguousarray(unary_from_softmax(probs)))
    field.addPairwiseGaussian(sxy=parameters.gaussian_sxy * scale, compat=parameters.gaussian_compat)
    field.addPairwiseBilateral(
        sxy=parameters.bilateral_sxy * scale,
        srgb=parameters.bilateral_srgb,
        rgbim=pixels,
        compat=parameters.bilateral_compat,
    )
    return np.asarray(field.inference(parameters.iterations), np.float32).reshape(count, height, width)
