"""Asks the prior directly: under which class does it best predict the noise in the uncertain pixels?

    p(S_j = c | x) ~ S_j(c) exp(-sharpness * error_j(c))

G4Seg's Eq. 6 with the coarse p(S) kept; error_j(c) is the denoiser's squared error at pixel j with class c injected.

Shapes: K classes selected in an image, N candidates, c latent channels, h w latent grid, H W image size.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.guided_filter import Upsampling, check_upsampling, upsample
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.noise import noise_key
from mmseg_g4seg.ops.posterior import average_boxes, shift_proportions, weigh_candidates
from mmseg_g4seg.ops.superpixels import average_regions
from mmseg_g4seg.ops.views import View, crop_views
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.encoding import EncodedImage, encode_images
from mmseg_g4seg.refiners.g4seg.noise_errors import noise_errors
from mmseg_g4seg.refiners.g4seg.passes import Passes
from mmseg_g4seg.refiners.g4seg.questions import Answer, Evidence, Question, average_views, lay_out, split
from mmseg_g4seg.refiners.g4seg.race import Race
from mmseg_g4seg.refiners.g4seg.superpixels import Superpixels
from mmseg_g4seg.registry import NUMBER, expect_integers, expect_option, register

from .base import ClassProbs, Update

NATS = 'nats above 0, or None'


@register
class LikelihoodUpdate(Update):
    """Fills the uncertain pixels with each class in turn, and prefers the class with the lower denoising error.

    Each candidate (a class, as the filling of the uncertain pixels) is a layout of all classes of the image. Candidates
    differ only in the uncertain pixels where they are plausible, and all see the same noise. The background has no
    name, so as a candidate it leaves the uncertain pixels without a region. Each crop is asked about like an image.
    """

    def __init__(
        self,
        *,
        timesteps: Sequence[int] | Race = (100, 200, 300, 400, 500, 600),
        draws: int = 1,
        crops: int = 1,
        sharpness: float = 30.0,
        bound: float | None = None,
        proportions: bool = False,
        smoothing: int | Sequence[int] | Superpixels = 3,
        uncertain_below: float = 0.6,
        candidate_threshold: float = 0.0,
        upsampling: Upsampling = 'bilinear',
    ) -> None:
        """Args:
            timesteps: noise levels over which the error is averaged. Or a `Race`, which needs fewer passes: at later
                timesteps it asks about a candidate only where that may still win.
            draws: number of noise draws at each timestep.
            crops: number of crops along each side of the image; 1 takes the whole image. Crops overlap, and every
                second one is mirrored. Where crops overlap, errors are averaged.
            sharpness: factor from error to negative log-likelihood.
            bound: the most that the prior may count for or against a class, in nats, whatever its error: at 0.4 the
                odds of two classes change by a factor of exp(0.8) at most. None sets no bound.
            proportions: let an image's class proportions follow the prior's answers. A class to which the prior gives
                more of the image then gains elsewhere in it, too, beyond `bound`. See `shift_proportions`.
            smoothing: side of the box over which errors are averaged, odd, in latent cells. Several sides average over
                several scales. `Superpixels` average over regions of similar colour.
            uncertain_below: a pixel may change if its highest class probability is below this.
            candidate_threshold: a class is a candidate at a pixel if its coarse probability is at least this; 0 makes
                every class of the image a candidate everywhere.
            upsampling: from the latent grid to the image's: `bilinear`, or `guided`, which follows the image's edges.

        Raises:
            ValueError: if a number is out of range.
        """
        share, finite = 'a probability in [0, 1]', 'a finite number of at least 0'
        # what a race keeps goes with its timesteps: one part, not one option more
        self.timesteps: tuple[int, ...] | Race = (
            timesteps
            if isinstance(timesteps, Race)
            else expect_integers('timesteps', timesteps, 'timesteps, one at least')
        )
        self.draws = expect_option('draws', draws, int, 'an integer of at least 1', holds=lambda v: v >= 1)
        self.crops = expect_option('crops', crops, int, 'an integer of at least 1', holds=lambda v: v >= 1)
        self.sharpness = expect_option('sharpness', sharpness, NUMBER, finite, holds=lambda v: 0 <= v < math.inf)
        self.bound = bound if bound is None else expect_option('bound', bound, NUMBER, NATS, holds=lambda v: v > 0)
        self.proportions = expect_option('proportions', proportions, bool, 'True or False')
        self.smoothing: tuple[int, ...] | Superpixels = (
            smoothing if isinstance(smoothing, Superpixels) else _as_sides(smoothing)
        )
        for name, value in (('uncertain_below', uncertain_below), ('candidate_threshold', candidate_threshold)):
            expect_option(name, value, NUMBER, share, holds=lambda v: 0 <= v <= 1)
        self.uncertain_below, self.candidate_threshold = uncertain_below, candidate_threshold
        self.upsampling = check_upsampling(upsampling)

    def check(self, prior: DiffusionPrior) -> None:
        for timestep in self.timesteps.timesteps if isinstance(self.timesteps, Race) else self.timesteps:
            prior.check_timestep(timestep)

    def __call__(
        self,
        passes: Passes,
        images: Sequence[EncodedImage],
        predictions: Sequence[Prediction],
        selected: Sequence[Sequence[int]],
    ) -> list[ClassProbs]:
        gathered = self.gather(passes, images, predictions, selected)
        return [
            (evidence.candidates, self.posterior(prediction.probs[evidence.candidates], evidence))
            for prediction, evidence in zip(predictions, gathered, strict=True)
        ]

    def gather(
        self,
        passes: Passes,
        images: Sequence[EncodedImage],
        predictions: Sequence[Prediction],
        selected: Sequence[Sequence[int]],
    ) -> list[Evidence]:
        """Asks the prior: arguments as for a call, what it says about each image."""
        background = passes.classes.background
        # what an uncertain pixel may be: a class of the image, or its background
        candidates = [[*classes, *([] if background is None else [background])] for classes in selected]
        # the likelihood of what an image does not have is asked of no one: K + 1 passes, not C
        open_to = [self._open_to(p, c) for p, c in zip(predictions, candidates, strict=True)]
        questions: list[Question] = []
        for i, (image, classes) in enumerate(zip(images, selected, strict=True)):
            for number, view in enumerate(crop_views(_size(image), self.crops) if classes else ()):
                # a class that no pixel is open to needs no pass; with one alone there is nothing to choose
                asked = [c for c, pixels in open_to[i].items() if view.of(pixels).any()]
                if len(asked) >= 2:
                    shown = self._show(passes, image, view, number)
                    questions.append(Question(i, view, shown, predictions[i], open_to[i], classes, asked))
        answers: list[list[Answer]] = [[] for _ in images]
        for question, answer in zip(questions, self._ask(passes, questions), strict=True):
            answers[question.image_index].append(answer)
        return [
            average_views(prediction.label_map, pixels, own)
            for pixels, prediction, own in zip(open_to, predictions, answers, strict=True)
        ]

    def posterior(self, probs: Tensor, evidence: Evidence, elsewhere: Tensor | None = None) -> Tensor:
        """Weighs N candidates by their errors: sharpness, bound, and class proportions.

        Args:
            probs: (N, H, W) float in [0, 1], coarse, of the candidates.
            evidence: what the prior said.
            elsewhere: see `shift_proportions`.

        Returns:
            (N, H, W): the posterior where a candidate may be, `probs` elsewhere.
        """
        if not evidence.candidates:
            return probs
        open_to = evidence.open_to
        posterior = weigh_candidates(probs, open_to, evidence.errors, self.sharpness, self.bound)
        return shift_proportions(probs, posterior, open_to, elsewhere) if self.proportions else posterior

    def _ask(self, passes: Passes, questions: Sequence[Question]) -> list[Answer]:
        """Answers on the grid of each question's view."""
        shown, numbers = [q.encoded for q in questions], [len(q.candidates) for q in questions]
        regions = [self._regions(view) for view in shown]
        if isinstance(self.timesteps, Race):

            def weigh(number: int, probs: Tensor, open_to: Tensor, errors: Tensor) -> Tensor:
                smooth = resize_maps(self._smooth(errors, shown[number].image, regions[number]), errors.shape[-2:])
                return weigh_candidates(probs, open_to, smooth, self.sharpness, self.bound)

            errors, counts = self.timesteps(passes, questions, self.draws, weigh)
        else:
            found = noise_errors(passes, shown, lay_out(passes, questions), self.timesteps, self.draws)
            errors, counts = split(found, numbers), [n * len(self.timesteps) * self.draws for n in numbers]
        answers = []
        for question, own, own_regions, count in zip(questions, errors, regions, counts, strict=True):
            fine = self._smooth(own, question.encoded.image, own_regions)
            answers.append(Answer(question.view, question.candidates, fine, count))
        return answers

    def _regions(self, view: EncodedImage) -> Tensor | None:
        """(H, W) int64 numbers of regions that errors are averaged over; None for boxes."""
        smoothing, cells = self.smoothing, view.latents[0].numel()
        return smoothing(view.image, cells) if isinstance(smoothing, Superpixels) else None

    def _smooth(self, errors: Tensor, image: Tensor, regions: Tensor | None) -> Tensor:
        """Errors of single cells, (N, h, w), averaged and brought to the grid of an image (3, H, W): (N, H, W)."""
        # one cell's error is mostly the noise's own; a wide box, or a region, sees which class fits all of it
        smooth = errors if isinstance(self.smoothing, Superpixels) else average_boxes(errors, self.smoothing)
        fine = torch.cat([upsample(cells[None], image, self.upsampling) for cells in smooth])
        return fine if regions is None else average_regions(fine, regions)

    def _show(self, passes: Passes, image: EncodedImage, view: View, number: int) -> EncodedImage:
        """A view as an image of its own, with noise of its own."""
        if self.crops == 1:  # the whole image is encoded already, under the key without a number
            return image
        key = noise_key(image.key, part=number)
        (encoded,) = encode_images(passes.prior, [view.of(image.image)], [key], passes.image_size)
        return encoded

    def _open_to(self, prediction: Prediction, candidates: Sequence[int]) -> dict[int, Tensor]:
        """Pixels that each candidate may take, (H, W) bool: uncertain ones where it is plausible."""
        # by the best class, not by each one's own probability: where one is sure, no other has a chance
        uncertain = prediction.probs.amax(dim=0) < self.uncertain_below
        return {c: uncertain & (prediction.probs[c] >= self.candidate_threshold) for c in candidates}


def _size(image: EncodedImage) -> tuple[int, int]:
    height, width = image.image.shape[-2:]
    return height, width


def _as_sides(smoothing: int | Sequence[int]) -> tuple[int, ...]:
    sides = [smoothing] if isinstance(smoothing, int) else smoothing
    return expect_integers('smoothing', sides, 'odd numbers of cells', holds=lambda v: v >= 1 and v % 2 == 1)
