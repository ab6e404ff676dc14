"""The paper's loop, plainly: one class at a time, explicit masks, nothing kept from class to class.

Every class encodes the image and its prompt anew, reconstructs, decodes, and extracts the features of
both pictures. The mathematics is `G4SegRefiner`'s with its default settings, and so is the noise.

Shapes: C classes, K classes refined, H W image size, c latent channels, h w latent grid, D feature
channels, h' w' feature grid.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.injection.attention import MaskInjection
from mmseg_g4seg.ops.masks import decide_labels, merge_class_probs, present_classes, resize_maps
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.ops.posterior import mix_foreground_probs
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.settings import G4SegSettings

from .cases import Case
from .explicit_attention import explicit_masks
from .stages import MeteredFeatures


class PaperLoop:
    """Refines a case class by class."""

    def __init__(self, prior: LatentPrior, features: MeteredFeatures, settings: G4SegSettings) -> None:
        """Args:
        prior: the diffusion model.
        features: where reconstruction and original are compared.
        settings: those that differ from the defaults are size, seed and what concerns the background.
        """
        self.prior, self.features, self.settings = prior, features, settings

    @torch.no_grad()
    def __call__(self, case: Case, *, key: int = 0) -> Prediction:
        """Refines every class of the case but the background; `key` is the image's."""
        before = case.prediction
        background = self.settings.background_index
        classes = present_classes(before.label_map, len(before.probs), background_index=background)
        updated = []
        for c in classes:
            with no_known_prompts(self.prior):
                updated.append(self._refine_class(case, c, key))
        probs = merge_class_probs(before.probs, classes, torch.stack(updated))
        changed = (probs != before.probs).any(dim=0)
        labels = decide_labels(probs, background_index=background)
        return Prediction(probs, torch.where(changed, labels, before.label_map))

    def _refine_class(self, case: Case, index: int, key: int) -> Tensor:
        """New foreground probabilities of one class, (H, W)."""
        settings, old = self.settings, case.prediction.probs[index]
        pixels = resize_maps(case.image, settings.size).clamp(0, 1)[None]
        clean = self.prior.encode_images(pixels)
        latents = self._reconstruct(case, index, clean, key)
        # the picture itself is part of the loop, whether or not these features read it
        reconstruction = self.prior.decode_latents(latents)
        original, generated = self.features(clean, pixels), self.features(latents, reconstruction)
        low = resize_maps(old[None], original.shape[-2:])
        matched = resize_maps(self._read_matches(generated[0], original[0], low), old.shape)[0]
        return mix_foreground_probs(old, matched.clamp(0, 1), settings.beta, settings.confidence_range)

    def _reconstruct(self, case: Case, index: int, clean: Tensor, key: int) -> Tensor:
        """One-step reconstruction under the class's mask: (1, c, h, w) -> (1, c, h, w) clean latents."""
        settings, timestep = self.settings, self.settings.timestep
        prompts = self.prior.encode_prompts([[case.class_names[index]]], settings.prompt_template)
        mask = resize_maps((case.prediction.label_map == index).float(), clean.shape[-2:])
        injection = MaskInjection(
            mask[None, None].to(prompts.token_masks), prompts.token_masks, settings.cross_weight, settings.self_weight
        )
        noise = image_noise(clean.shape[1:], seed=settings.seed, key=key)[None].to(clean)
        noisy = self.prior.add_noise(clean, noise, timestep)
        with explicit_masks(self.prior, injection):
            return self.prior.predict_latents(noisy, timestep, prompts)

    def _read_matches(self, generated: Tensor, original: Tensor, low: Tensor) -> Tensor:
        """Low-resolution probabilities at the match of each location: (D, h', w') twice, (1, h', w') -> same."""
        with self.features.matching():
            source, target = (F.normalize(f.float().flatten(1), dim=0) for f in (generated, original))
            index = (source.T @ target).argmax(dim=1)
            return low.flatten()[index].view_as(low)


@contextmanager
def no_known_prompts(prior: LatentPrior) -> Iterator[None]:
    """Lets a prior encode every prompt of the block anew; what it knew, it knows again afterwards."""
    known = prior.known_prompts
    prior.known_prompts = {}
    try:
        yield
    finally:
        prior.known_prompts = known
