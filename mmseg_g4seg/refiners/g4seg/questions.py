"""What the likelihood update asks about a view of an image, and what comes of the answers.

Shapes: K classes selected in an image, N candidates, h w latent grid, H W size of an image or view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.views import View
from mmseg_g4seg.prediction import Prediction

from .encoding import EncodedImage
from .layouts import Layout
from .passes import Passes


@dataclass(frozen=True)
class Evidence:
    """What the prior says about the uncertain pixels of one image.

    Attributes:
        candidates: N classes that some pixel is open to; none where there is nothing to choose.
        open_to: pixels that may take each candidate, (N, H, W) bool.
        errors: the denoiser's error under each, (N, H, W) float32, averaged over the views of a pixel.
        passes: that it took: runs of the denoiser, each about one layout, timestep and draw.
    """

    candidates: list[int]
    open_to: Tensor
    errors: Tensor
    passes: int = 0


@dataclass(frozen=True)
class Question:
    """How well does each candidate explain what a view of an image shows?

    Attributes:
        image_index: number of the image in the batch.
        view: of that image.
        encoded: the view as an image of its own.
        prediction: of the whole image.
        open_to: for each class the pixels of the whole image that may take it, (H, W) bool.
        classes: K classes, those that are injected.
        candidates: N classes, those that an uncertain pixel of the view may take.
    """

    image_index: int
    view: View
    encoded: EncodedImage
    prediction: Prediction
    open_to: Mapping[int, Tensor]
    classes: Sequence[int]
    candidates: Sequence[int]

    def fill(self, candidate: int) -> Tensor:
        """Labels of the view, (H, W) int64, with one candidate wherever it may be."""
        return self.view.of(torch.where(self.open_to[candidate], candidate, self.prediction.label_map))

    def fill_cells(self, rows: Tensor) -> Tensor:
        """Labels of the view with a candidate of its own in each cell: (h, w) int64, rows of N -> (H, W) int64."""
        labels = self.view.of(self.prediction.label_map)
        rows = F.interpolate(rows[None, None].float(), labels.shape[-2:]).long()[0, 0]
        for row, candidate in enumerate(self.candidates):
            labels = torch.where((rows == row) & self.view.of(self.open_to[candidate]), candidate, labels)
        return labels

    def cell_probs(self) -> tuple[Tensor, Tensor]:
        """Of each cell: the candidates' coarse probabilities, (N, h, w) float32, and where each may be, bool."""
        found: list[Tensor] = []
        for candidate in self.candidates:
            pixels = self.view.of(self.open_to[candidate])
            own = torch.where(pixels, self.view.of(self.prediction.probs[candidate]), 0)
            found.append(resize_maps(torch.stack([own, pixels.float()]), self.encoded.latents.shape[-2:]))
        probs, shares = torch.stack(found, dim=1)
        return probs, shares > 0


def lay_out(passes: Passes, questions: Sequence[Question]) -> list[Layout]:
    """A layout for every candidate of every question, which fills its pixels; their images are the questions' views."""
    # all open pixels at once: as many layouts as candidates, whatever the number of pixels
    return [
        passes.place(i, question.encoded, question.fill(candidate), question.classes)
        for i, question in enumerate(questions)
        for candidate in question.candidates
    ]


def split(found: Sequence[Tensor], numbers: Sequence[int]) -> list[Tensor]:
    """Cuts a list of (h, w) maps into stacks of so many, (number, h, w) each."""
    rest = iter(found)
    stacks = ([next(rest) for _ in range(number)] for number in numbers)
    return [torch.stack(own) if own else torch.empty(0) for own in stacks]


@dataclass(frozen=True)
class Answer:
    """What was found about the N candidates of one view.

    Attributes:
        view: of the image.
        candidates: N classes.
        errors: under each, at every pixel of the view, (N, H, W) float32.
        passes: that it took.
    """

    view: View
    candidates: Sequence[int]
    errors: Tensor
    passes: int = 0


def average_views(label_map: Tensor, open_to: Mapping[int, Tensor], answers: Sequence[Answer]) -> Evidence:
    """Averages the errors of one image over the views that a pixel lies in.

    Args:
        label_map: (H, W) of the image.
        open_to: for each class the pixels that may take it, (H, W) bool.
        answers: about its views.
    """
    asked = {candidate for answer in answers for candidate in answer.candidates}
    # in the order of the classes, so that sums of floats do not depend on the order of views
    candidates = [c for c in open_to if c in asked]
    total, views = torch.zeros(2, len(candidates), *label_map.shape, device=label_map.device)
    for answer in answers:
        for candidate, errors in zip(answer.candidates, answer.errors, strict=True):
            # in place: a copy a view of (N, H, W) is 160 MB for 19 classes at 2048 x 1024
            row = candidates.index(candidate)
            answer.view.add_to(total[row], errors)
            answer.view.add_to(views[row], 1.0)
    pixels = torch.zeros_like(total, dtype=torch.bool)
    for row, candidate in enumerate(candidates):
        pixels[row] = open_to[candidate]
    return Evidence(candidates, pixels, total.div_(views.clamp_min_(1)), sum(answer.passes for answer in answers))
