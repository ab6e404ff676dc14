"""Splits a run into its stages from outside: the package's code holds no clock.

Prior, features and update are wrapped, each in a class of the package's own kind; what is measured is handed to the
refiner like any other part.

Shapes: B images, H W image size, c latent channels, h w latent grid, D feature channels, h' w' feature grid, R regions.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.refiners.g4seg.layouts import Layout
from mmseg_g4seg.refiners.g4seg.updates.correspondence import CorrespondenceUpdate

STAGES = ('encode', 'text', 'denoise', 'decode', 'features', 'match', 'other')
"""`denoise` is the U-Net's (or transformer's) pass under the mask; `features` holds all that they take, the
denoiser's passes for its own features included; `other` is what none claims: resizing, mixing, merging."""


class StageMeter:
    """Adds up, stage by stage, how far a counter moved."""

    def __init__(self, read: Callable[[], float]) -> None:
        """Args:
        read: the counter, such as a clock in seconds or the FLOPs so far.
        """
        self.read = read
        self.amounts = dict.fromkeys(STAGES, 0.0)
        self._inside = False

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the block as a stage; within another one it counts as that."""
        if self._inside:
            yield
            return
        self._inside, start = True, self.read()
        try:
            yield
        finally:
            self._inside = False
            self.amounts[name] += self.read() - start

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Counts what the stages in the block leave over as `other`, so that all sum to the block."""
        start = self.read()
        try:
            yield
        finally:
            self.amounts['other'] += self.read() - start - self.total

    @property
    def total(self) -> float:
        """Sum of all stages."""
        return sum(self.amounts.values())


class Stages:
    """Whom the wrapped parts of a run report to: a meter while one counts, nobody otherwise.

    The parts outlive a meter: a refiner that was built anew for each run would measure the memory that a pass takes
    anew, too, and send its first pass through alone.
    """

    def __init__(self) -> None:
        self.meter: StageMeter | None = None

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Counts a block as a stage, when somebody counts."""
        return nullcontext() if self.meter is None else self.meter.stage(name)

    @contextmanager
    def counted(self, meter: StageMeter) -> Iterator[None]:
        """Counts the block by a meter, as a whole."""
        self.meter = meter
        try:
            with meter.whole():
                yield
        finally:
            self.meter = None


class MeteredFeatures(FeatureExtractor):
    """A feature extractor whose calls are counted."""

    def __init__(self, features: FeatureExtractor, stages: Stages) -> None:
        self.features, self.stages, self.reads_pixels = features, stages, features.reads_pixels

    def check(self, prior: DiffusionPrior) -> None:
        self.features.check(prior)

    def __call__(self, prior: DiffusionPrior, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        with self.stages.stage('features'):
            return self.features(prior, latents, pixels)


class MeteredUpdate(CorrespondenceUpdate):
    """The paper's update, its matching counted."""

    def __init__(self, stages: Stages, **options: Any) -> None:
        """Args:
        stages: whom it reports to.
        options: of `CorrespondenceUpdate`.
        """
        super().__init__(**options)
        self.stages = stages

    def matched_probs(self, generated: Tensor, original: Tensor, probs: Tensor, layout: Layout) -> Tensor:
        """As `CorrespondenceUpdate`: (1, D, h', w') twice and (R, H, W) -> (R, h', w')."""
        with self.stages.stage('match'):
            return super().matched_probs(generated, original, probs, layout)
