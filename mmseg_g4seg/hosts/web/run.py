"""One run of the page: a case in, masks of every stage and the correspondence out.

Shapes: C classes, H W size of the picture.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.loading import as_prior
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.hosts.sources import load_source
from mmseg_g4seg.io.mask_files import FileMask
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner, Stage
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.g4seg.inspection import Correspondence, correspond, find_g4seg
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner

from .inputs import Picture, as_prediction, as_tensor

KEY = 'picture.png'
"""Names the picture to the noise; `g4seg refine-masks` takes the name of the file in the same way."""

Report = Callable[[float, str], None]
"""Is told the share that is done, and what is being done."""


@dataclass(frozen=True)
class Case:
    """What is refined, and by what.

    Attributes:
        picture: (H, W, 3).
        classes: C names with their colours.
        mask: coarse labels or probabilities, as they were given.
        config: of the refiner.
    """

    picture: Picture
    classes: ClassList
    mask: FileMask
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        case: that was refined.
        classes: the case's, with what the refiner's config says of them.
        coarse: the mask on the picture's grid.
        stages: of the refiner, one of a plain one; the last is final.
        correspondence: picture beside reconstruction; None where no stage reconstructs.
    """

    case: Case
    classes: ClassList
    coarse: Prediction
    stages: list[Stage]
    correspondence: Correspondence | None

    @property
    def refined(self) -> Prediction:
        """Of the last stage."""
        return self.stages[-1].predictions[0]


class Runner:
    """Refines cases, one at a time. A prior that was used stays loaded."""

    def __init__(self, device: str = 'cpu') -> None:
        """Args:
        device: to run on.
        """
        self.device = device
        self._priors: dict[str, DiffusionPrior] = {}

    def refine(self, case: Case, report: Report) -> Outcome:
        """Refines a case.

        Args:
            case: of the user.
            report: is told how far it is.

        Raises:
            ValueError: if picture, mask, names or config do not fit.
            ImportError: if the refiner needs a package that is not installed; names the extra.
        """
        report(0.0, 'Loading the refiner')
        refiner = self._build(case.config)
        classes = case.classes.with_options(refiner.class_options)
        image, coarse = as_tensor(case.picture), as_prediction(case.mask, classes, case.picture.size)
        g4seg = find_g4seg(refiner)
        report(0.1, 'Refining')
        with counted_passes(g4seg, lambda n: report(0.1 + 0.6 * n / (n + 6), f'Refining: pass {n} of the prior')):
            stages = refiner.refine_stages([image], [coarse], classes, keys=[KEY])
        report(0.8, 'Reconstructing')
        correspondence = None if g4seg is None else self._correspond(g4seg, image, coarse, classes)
        report(0.95, 'Drawing')
        return Outcome(case, classes, coarse, stages, correspondence)

    def make_mask(self, method: str, picture: Picture, classes: ClassList, config: Mapping[str, Any]) -> FileMask:
        """Makes a coarse mask from the attention of the refiner's own prior.

        Args:
            method: `seediff`, `diffsegmenter` or `daam`.
            picture: (H, W, 3).
            classes: C names of what is in the picture.
            config: of the refiner; the embedded prior serves one that has none.

        Returns:
            (C, H, W) probabilities.

        Raises:
            ValueError: if method or names do not fit.
        """
        source = load_source(method, device=self.device, prior=self._prior(_prior_of(config) or 'tiny'))
        probs = source(as_tensor(picture), classes, key=KEY, probs=True)
        assert isinstance(probs, Tensor)
        return FileMask(probs=probs.cpu())

    def _build(self, config: Mapping[str, Any]) -> Refiner:
        refiner = build_refiner(self._with_priors(config))
        assert isinstance(refiner, Refiner)
        return refiner.to(self.device)

    def _with_priors(self, config: Any) -> Any:
        """A config whose priors are loaded: those that an earlier run, with other options, had loaded already."""
        if isinstance(config, Mapping):
            inner = {name: self._with_priors(value) for name, value in config.items()}
            return {**inner, 'prior': self._prior(config['prior'])} if config.get('prior') else inner
        return type(config)(map(self._with_priors, config)) if isinstance(config, list | tuple) else config

    def _prior(self, source: Any) -> DiffusionPrior:
        if repr(source) not in self._priors:
            # the last run's alone: two of SDXL are more than most cards hold
            self._priors = {repr(source): as_prior(source)}
        return self._priors[repr(source)]

    def _correspond(
        self, g4seg: G4SegRefiner, image: Tensor, coarse: Prediction, classes: ClassList
    ) -> Correspondence | None:
        # a mask of background alone, or of classes that the prior does not know, is refined to itself
        if not g4seg.select(coarse, classes):
            return None
        return correspond(g4seg, image, coarse, classes, key=KEY)


@contextmanager
def counted_passes(g4seg: G4SegRefiner | None, report: Callable[[int], None]) -> Iterator[None]:
    """Tells, after each pass of the prior's denoiser, how many there were: how many there will be, no update says."""
    denoiser = getattr(getattr(g4seg, 'prior', None), 'denoiser', None)
    if not isinstance(denoiser, torch.nn.Module):
        yield
        return
    count = 0

    def step(*_: object) -> None:
        nonlocal count
        count += 1
        report(count)

    handle = denoiser.register_forward_hook(step)
    try:
        yield
    finally:
        handle.remove()


def _prior_of(config: Any) -> Any:
    """The first prior that a config names, at any depth."""
    if isinstance(config, Mapping):
        if config.get('prior'):
            return config['prior']
        config = list(config.values())
    items = config if isinstance(config, list | tuple) else ()
    return next((found for item in items if (found := _prior_of(item))), None)
