"""Splits a run into its stages from outside: the product's code holds no clock."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.refiners.g4seg.updates import correspondence

STAGES = ('encode', 'text', 'denoise', 'decode', 'features', 'match', 'other')
"""`denoise` is the U-Net's (or transformer's) pass under the mask; `features` holds all that they take, the
denoiser's passes for its own features included; `other` is what none claims: resizing, mixing, merging."""

PRIOR_STAGES = {
    'encode_images': 'encode',
    'encode_prompts': 'text',
    'denoise': 'denoise',
    'decode_latents': 'decode',
}
MATCH_FUNCTIONS = ('match_features', 'gather_matches')


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

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its calls counted as a stage."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return counted


class MeteredFeatures(FeatureExtractor):
    """A feature extractor whose calls a meter counts, when it has one."""

    def __init__(self, features: FeatureExtractor) -> None:
        self.features, self.reads_pixels = features, features.reads_pixels
        self.meter: StageMeter | None = None

    def __call__(self, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        with self._stage('features'):
            return self.features(latents, pixels)

    def matching(self) -> AbstractContextManager[None]:
        """Counts a block that matches features."""
        return self._stage('match')

    def _stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext() if self.meter is None else self.meter.stage(name)


@contextmanager
def metered(prior: DiffusionPrior, features: MeteredFeatures, meter: StageMeter) -> Iterator[None]:
    """Counts the block, whose stages are calls of a prior, an extractor and the update's matching."""
    with ExitStack() as stack:
        for name, stage in PRIOR_STAGES.items():
            stack.enter_context(_replaced(prior, name, meter.wrap(stage, getattr(prior, name))))
        for name in MATCH_FUNCTIONS:
            function = getattr(correspondence, name)
            stack.enter_context(_replaced(correspondence, name, meter.wrap('match', function)))
        stack.enter_context(_replaced(features, 'meter', meter))
        stack.enter_context(meter.whole())
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Gives an instance or a module another attribute, and takes it back whatever happens."""
    missing = object()
    before = vars(owner).get(name, missing)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
