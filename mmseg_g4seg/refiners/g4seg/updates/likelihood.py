"""Asks the prior directly: under which class does it best predict the noise in the uncertain pixels?

G4Seg's Eq. 6 with the coarse p(S) kept: posterior ~ coarse probability * exp(-lambda * error).

Shapes: K classes selected in an image, N candidates, c latent channels, h w latent grid, H W image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.ops.guided_filter import guided_upsample
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.posterior import shift_proportions, weigh_candidates
from mmseg_g4seg.ops.views import View, crop_views
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.layouts import ClassProbs, EncodedImage, Layout, LayoutPass
from mmseg_g4seg.refiners.g4seg.settings import G4SegSettings

from .noise_errors import noise_errors


@dataclass(frozen=True)
class Evidence:
    """What the prior says about the uncertain pixels of one image.

    Attributes:
        candidates: N classes that some pixel is open to; none where there is nothing to choose.
        open_to: pixels that may take each candidate, (N, H, W) bool.
        errors: the denoiser's error under each, (N, H, W) float32, averaged over the views of a pixel.
    """

    candidates: list[int]
    open_to: Tensor
    errors: Tensor


@dataclass(frozen=True)
class Question:
    """How well does a candidate explain what a view of an image shows?

    Attributes:
        image: number of the image in the batch.
        candidate: class that the uncertain pixels take.
        view: of the image.
    """

    image: int
    candidate: int
    view: View


def average_views(
    label_map: Tensor, open_to: dict[int, Tensor], answers: Sequence[tuple[Question, Tensor]]
) -> Evidence:
    """Averages the errors of one image over the views that a pixel lies in.

    Args:
        label_map: (H, W) of the image.
        open_to: for each class the pixels that may take it, (H, W) bool.
        answers: each question with the error at every pixel of its view.
    """
    asked = {question.candidate for question, _ in answers}
    candidates = [c for c in open_to if c in asked]
    total, views = torch.zeros(2, len(candidates), *label_map.shape, device=label_map.device)
    for question, errors in answers:
        row = candidates.index(question.candidate)
        question.view.add_to(total[row], errors)
        question.view.add_to(views[row], 1.0)
    pixels = torch.zeros_like(total, dtype=torch.bool)
    for row, candidate in enumerate(candidates):
        pixels[row] = open_to[candidate]
    return Evidence(candidates, pixels, total / views.clamp_min(1))


class LikelihoodUpdate:
    """Fills the uncertain pixels with each class in turn and reads the denoiser's error.

    All classes of the image are injected at once; only the uncertain pixels differ between
    candidates, and only where a candidate is plausible; all candidates see the same noise.
    Background has no name: as a candidate it leaves the uncertain pixels to no region. With several
    views of an image, each is asked about as an image of its own.
    """

    def __init__(self, layout_pass: LayoutPass) -> None:
        self.layout_pass = layout_pass
        self.prior, self.settings = layout_pass.prior, layout_pass.settings

    def __call__(
        self, images: Sequence[EncodedImage], predictions: Sequence[Prediction], classes: Sequence[Sequence[int]]
    ) -> list[ClassProbs]:
        """Updates the probabilities of the classes selected in each image, and of its background.

        Args:
            images: encoded images.
            predictions: one an image.
            classes: the K classes selected in each image.

        Returns:
            For each image the candidates and their probabilities, (candidates, H, W) float32 in
            [0, 1].
        """
        gathered = self.gather(images, predictions, classes)
        return [
            (evidence.candidates, self.posterior(prediction, evidence))
            for prediction, evidence in zip(predictions, gathered, strict=True)
        ]

    def gather(
        self, images: Sequence[EncodedImage], predictions: Sequence[Prediction], classes: Sequence[Sequence[int]]
    ) -> list[Evidence]:
        """Asks the prior: arguments as for a call, what it says about each image."""
        open_to = [
            self._open_to(p, self._candidates(selected)) for p, selected in zip(predictions, classes, strict=True)
        ]
        shown: list[EncodedImage] = []
        questions: list[Question] = []
        layouts: list[Layout] = []
        for i, selected in enumerate(classes):
            for number, view in enumerate(self._views(images[i]) if selected else ()):
                # a class that no pixel is open to needs no pass; with one alone there is nothing to choose
                candidates = [c for c, pixels in open_to[i].items() if view.of(pixels).any()]
                if len(candidates) < 2:
                    continue
                shown.append(self._show(images[i], view, number))
                for c in candidates:
                    filled = torch.where(open_to[i][c], c, predictions[i].label_map)
                    layouts.append(self.layout_pass.place(len(shown) - 1, shown[-1], view.of(filled), selected))
                    questions.append(Question(i, c, view))
        errors = noise_errors(self.layout_pass, shown, layouts)
        upsampled = [self._upsample(e, shown[layout.image]) for e, layout in zip(errors, layouts, strict=True)]
        answers = list(zip(questions, upsampled, strict=True))
        return [
            average_views(prediction.label_map, pixels, [a for a in answers if a[0].image == i])
            for i, (pixels, prediction) in enumerate(zip(open_to, predictions, strict=True))
        ]

    def _views(self, image: EncodedImage) -> list[View]:
        height, width = image.image.shape[-2:]
        return crop_views((height, width), self.settings.likelihood_crops, self.settings.likelihood_crop_side)

    def _show(self, image: EncodedImage, view: View, number: int) -> EncodedImage:
        """A view as an image of its own, with noise of its own."""
        if self.settings.likelihood_crops == 1:
            return image
        (encoded,) = self.layout_pass.encode([view.of(image.image)], [f'{image.key}/{number}'])
        return encoded

    def _upsample(self, errors: Tensor, image: EncodedImage) -> Tensor:
        """Errors on the image's grid: (h, w) -> (H, W)."""
        if self.settings.upsampling == 'guided':
            return guided_upsample(errors[None], image.image)[0]
        return resize_maps(errors[None], image.image.shape[-2:])[0]

    def _candidates(self, selected: Sequence[int]) -> list[int]:
        """What an uncertain pixel may be: a class of the image, or its background."""
        background = self.settings.background_index
        return [*selected] if background is None else [*selected, background]

    def _open_to(self, prediction: Prediction, candidates: Sequence[int]) -> dict[int, Tensor]:
        """Pixels that each candidate may take, (H, W) bool: uncertain ones where it is plausible."""
        uncertain = prediction.probs.amax(dim=0) < self.settings.confidence_range[1]
        return {c: uncertain & (prediction.probs[c] >= self.settings.candidate_threshold) for c in candidates}

    def posterior(self, prediction: Prediction, evidence: Evidence) -> Tensor:
        """Probabilities of the candidates, each where it may be: (candidates, H, W)."""
        probs = prediction.probs[evidence.candidates]
        return weigh_evidence(probs, evidence.open_to, evidence.errors, self.settings) if evidence.candidates else probs


def weigh_evidence(
    probs: Tensor, open_to: Tensor, errors: Tensor, settings: G4SegSettings, elsewhere: Tensor | None = None
) -> Tensor:
    """The posterior of N candidates by a refiner's settings: sharpness, bound, and class proportions.

    Args:
        probs: (N, H, W) float in [0, 1], coarse.
        open_to: (N, H, W) bool, pixels that may take each.
        errors: (N, H, W) float, of the prior.
        settings: of the refiner.
        elsewhere: see `shift_proportions`.

    Returns:
        (N, H, W): the posterior where a candidate may be, `probs` elsewhere.
    """
    posterior = weigh_candidates(probs, open_to, errors, settings.likelihood_sharpness, settings.likelihood_bound)
    return shift_proportions(probs, posterior, open_to, elsewhere) if settings.likelihood_proportions else posterior
