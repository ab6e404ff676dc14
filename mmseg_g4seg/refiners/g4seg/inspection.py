"""The inside of a refinement, to be looked at: correspondences (the paper's Fig. 6-8) and timesteps (Fig. 9).

Shapes: C classes of the data set, H W image size, D feature channels, h' w' feature grid. Places are (row, column) in
pixels of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.denoiser import DenoiserFeatures
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.matching import unit_rows
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner, check_inputs

from .reconstruction import OneStep
from .refiner import G4SegRefiner

Place = tuple[int, int]
"""(row, column), pixels."""


@dataclass(frozen=True)
class PointMatch:
    """The place of the image that looks most like one place of its reconstruction.

    Attributes:
        query: place of the reconstruction.
        place: its match in the image, the middle of a feature cell.
        cosine: similarity of the two, in [-1, 1].
        similarity: (H, W) float32 in [-1, 1], of every place of the image to the query.
    """

    query: Place
    place: Place
    cosine: float
    similarity: Tensor


@dataclass(frozen=True)
class Correspondence:
    """An image beside its reconstruction under its mask, ready to be asked about any number of points.

    Attributes:
        reconstruction: (3, H, W) float32 RGB in [0, 1].
        generated: (D, h', w') float32 features of the reconstruction.
        original: (D, h', w') float32 features of the image.
    """

    reconstruction: Tensor
    generated: Tensor
    original: Tensor

    def match(self, row: int, column: int) -> PointMatch:
        """Matches one point of the reconstruction to the image, as the paper's update does (Eq. 8).

        Raises:
            ValueError: if the point is outside the image.
        """
        height, width = self.reconstruction.shape[-2:]
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(f'point: expected row 0 to {height - 1}, column 0 to {width - 1}, got {row}, {column}')
        rows, columns = self.original.shape[-2:]
        queries, targets = unit_rows(self.generated[None], self.original[None])
        # of this one point alone: all pairs are 268 MB on the grid of SD 2.1
        cell = row * rows // height * columns + column * columns // width
        cosines = queries[0, cell] @ targets[0]  # (h'*w',)
        best = int(cosines.argmax())
        place = (_middle(best // columns, rows, height), _middle(best % columns, columns, width))
        similarity = resize_maps(cosines.view(rows, columns), (height, width)).cpu()
        return PointMatch((row, column), place, float(cosines[best]), similarity)


@torch.no_grad()
def correspond(
    refiner: G4SegRefiner,
    image: Tensor,
    prediction: Prediction,
    classes: ClassList | Sequence[ClassName],
    *,
    key: Key = 0,
    only: int | None = None,
    features: FeatureExtractor | None = None,
) -> Correspondence:
    """Reconstructs an image under its mask, and takes features of both.

    Args:
        refiner: whose prior, injection and noise count; see `g4seg_stage`.
        image: (3, H, W) float RGB in [0, 1].
        prediction: the coarse prediction, on the image's grid.
        classes: the C classes.
        key: of the image.
        only: class that is injected alone, as the paper's update does; all together when not given.
        features: the update's own when not given, or `DenoiserFeatures` where it has none.

    Raises:
        ValueError: if there is nothing to inject, or what is given does not fit.
    """
    classes = ClassList.of(classes)
    check_inputs([image], [prediction], len(classes))
    selected = refiner.select(prediction, classes)
    if only is not None and only not in selected:
        raise ValueError(f'only: expected a class that is refined in this image, one of {selected}, got {only}')
    if not selected:
        raise ValueError('expected a mask with a class to reconstruct, got background, or unknown classes, alone')
    features = features or getattr(refiner.update, 'features', None) or DenoiserFeatures()
    features.check(refiner.prior)
    encoded, latents = refiner.generate(image, prediction, classes, selected if only is None else [only], key=key)
    pixels = refiner.prior.decode_latents(latents)
    # each alone, as the update does: batched convolutions round differently
    generated = features(refiner.prior, latents, pixels)[0]
    original = features(refiner.prior, encoded.latents[None], encoded.pixels[None])[0]
    refiner.prior.check_finite()
    return Correspondence(resize_maps(pixels[0], image.shape[-2:]).to(image.device), generated, original)


def reconstruct_at(
    refiner: G4SegRefiner,
    image: Tensor,
    prediction: Prediction,
    classes: ClassList | Sequence[ClassName],
    timesteps: Sequence[int],
    *,
    key: Key = 0,
) -> list[Tensor]:
    """Reconstructs an image under its mask from several noise levels, each in one step with the same noise.

    Args:
        refiner: whose prior, injection and noise count; see `g4seg_stage`.
        image: (3, H, W) float RGB in [0, 1].
        prediction: the coarse prediction, on the image's grid.
        classes: the C classes.
        timesteps: of the prior's schedule; more is noisier.
        key: of the image.

    Returns:
        (3, H, W) float32 RGB in [0, 1] for each timestep.

    Raises:
        ValueError: if the schedule lacks a timestep, or what is given does not fit.
    """
    steps = [OneStep(timestep=timestep) for timestep in timesteps]
    for step in steps:
        step.check(refiner.prior)
    return [refiner.reconstruct(image, prediction, classes, key=key, reconstruction=step) for step in steps]


def find_g4seg(refiner: Refiner) -> G4SegRefiner | None:
    """A refiner that is a `G4SegRefiner`, or the first one in a chain; None where nothing is reconstructed."""
    stages: Sequence[Refiner] = getattr(refiner, 'refiners', [refiner])
    return next((stage for stage in stages if isinstance(stage, G4SegRefiner)), None)


def g4seg_stage(refiner: Refiner) -> G4SegRefiner:
    """What `find_g4seg` finds.

    Raises:
        ValueError: if there is none: dense CRF and its kind reconstruct nothing.
    """
    found = find_g4seg(refiner)
    if found is None:
        raise ValueError(f'refiner: expected a G4SegRefiner, or a chain with one, got a {type(refiner).__name__}')
    return found


def _middle(cell: int, cells: int, side: int) -> int:
    """Pixel in the middle of a cell, where `cells` share a side."""
    return (2 * cell + 1) * side // (2 * cells)
