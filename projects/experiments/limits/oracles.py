"""Updates that know the truth: how far the uncertain pixels, the matches and the injected mask limit the gain.

Shapes: C classes, R regions of a layout, N layouts, c latent channels, h w latent grid, h' w' feature grid, H W image
size, P uncertain labelled pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.masks import labelled_pixels, resize_maps
from mmseg_g4seg.refiners.g4seg.encoding import EncodedImage
from mmseg_g4seg.refiners.g4seg.layouts import Layout
from mmseg_g4seg.refiners.g4seg.passes import Passes
from mmseg_g4seg.refiners.g4seg.reconstruction import Reconstruction
from mmseg_g4seg.refiners.g4seg.updates.correspondence import CorrespondenceUpdate

from .uncertain_pixels import UncertainPixels


def true_where_open(pixels: UncertainPixels) -> Tensor:
    """Labels where each uncertain pixel takes its true class if that is open there: (1, P) int64."""
    return torch.where(pixels.rows_of(pixels.truth) >= 0, pixels.truth, pixels.coarse.label_map[0])[None]


def true_class_of_objects(pixels: UncertainPixels, background: int) -> Tensor:
    """Labels where what mask and truth both call an object takes its true class if that is open: (1, P) int64."""
    coarse = pixels.coarse.label_map[0]
    objects = (coarse != background) & (pixels.truth != background)
    return torch.where(objects, true_where_open(pixels)[0], coarse)[None]


def true_extent_of_objects(pixels: UncertainPixels, background: int) -> Tensor:
    """Labels where what is an object is known if open, and its class is the best of the coarse scores: (1, P) int64."""
    coarse, truth = pixels.coarse.label_map[0], pixels.truth
    scores = torch.where(pixels.open_to_classes(), pixels.coarse.probs[:, 0], -1.0)
    scores[background] = -1.0
    best, best_object = scores.max(dim=0)
    missed = (coarse == background) & (truth != background) & (best >= 0)
    invented = (coarse != background) & (truth == background) & (pixels.rows_of(truth) >= 0)
    return torch.where(missed, best_object, torch.where(invented, background, coarse))[None]


class TrueLayouts(Passes):
    """Places classes where the truth has them, whatever mask it is shown; unlabelled pixels stay the mask's."""

    def __init__(self, passes: Passes, truth: Tensor) -> None:
        """Args:
        passes: that place classes where the mask has them.
        truth: (H, W) int64 labels of the one image.
        """
        super().__init__(
            passes.prior,
            passes.injectors,
            passes.classes,
            image_size=passes.image_size,
            prompt_template=passes.prompt_template,
            seed=passes.seed,
            budget=passes.budget,
        )
        self.truth = truth

    def place(self, image_index: int, image: EncodedImage, label_map: Tensor, classes: Sequence[int]) -> Layout:
        """As `Passes.place`, of an (H, W) label map."""
        labelled = labelled_pixels(self.truth, len(self.classes))
        return super().place(image_index, image, torch.where(labelled, self.truth, label_map), classes)


class Untouched(Reconstruction):
    """The image itself, for updates that do not look at its reconstruction."""

    def check(self, prior: DiffusionPrior) -> None:
        """Any prior will do."""

    def __call__(self, passes: Passes, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> Tensor:
        """(N, c, h, w) clean latents."""
        return torch.stack([images[layout.image_index].latents for layout in layouts])


class OracleMatches(CorrespondenceUpdate):
    """The paper's update with the matches that serve the truth best, in place of the features' ones.

    Each location is matched with that whose probabilities are nearest to the truth's share of it.
    """

    def __init__(
        self, update: CorrespondenceUpdate, truth: Tensor, num_classes: int, *, beta: float | None = None
    ) -> None:
        """Args:
        update: whose other options it has; of its features only the grid counts.
        truth: (H, W) int64 labels of the one image.
        num_classes: C.
        beta: in place of the update's.
        """
        super().__init__(
            beta=update.beta if beta is None else beta,
            confidence_range=update.confidence_range,
            reconstruction=Untouched(),
            features=update.features,
            joint=update.joint,
            upsampling=update.upsampling,
        )
        self.truth, self.num_classes = truth, num_classes

    def matched_probs(self, generated: Tensor, original: Tensor, probs: Tensor, layout: Layout) -> Tensor:
        """As `CorrespondenceUpdate`: (R, H, W) probabilities -> (R, h', w')."""
        maps = resize_maps(probs, original.shape[-2:])
        return best_matches(maps, true_shares(self.truth, layout.classes, self.num_classes, maps))


def true_shares(truth: Tensor, classes: Sequence[int], num_classes: int, maps: Tensor) -> Tensor:
    """Share of each location's labelled pixels that has each class; what `maps` say where none is labelled.

    Args:
        truth: (H, W) int64.
        classes: R classes.
        num_classes: C.
        maps: (R, h', w') float.

    Returns:
        (R, h', w') float32 in [0, 1].
    """
    labelled = resize_maps(labelled_pixels(truth, num_classes)[None].float(), maps.shape[-2:])
    covered = resize_maps(torch.stack([truth == c for c in classes]).float(), maps.shape[-2:])
    return torch.where(labelled > 0, covered / labelled.clamp_min(1e-6), maps)


def best_matches(maps: Tensor, wanted: Tensor) -> Tensor:
    """For each location the maps of the one nearest to what is wanted there, by Euclidean distance.

    Args:
        maps: (R, h', w') float.
        wanted: (R, h', w') float.

    Returns:
        (R, h', w').
    """
    places = maps.flatten(1).T  # (h' w', R)
    nearest = torch.cdist(wanted.flatten(1).T, places).argmin(dim=1)
    return places[nearest].T.reshape(maps.shape)
