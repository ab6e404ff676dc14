"""The paper's loop, plainly: one class at a time, explicit masks, nothing kept from class to class.

Every class encodes the image and its prompt anew, reconstructs, decodes, and extracts the features of
both pictures. The mathematics is `G4SegRefiner`'s with its default options, and so is the noise.

Shapes: C classes, K classes refined, H W image size, c latent channels, h w latent grid, D feature
channels, h' w' feature grid.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.injection.base import Injection
from mmseg_g4seg.diffusion.injection.layouts import RegionLayout
from mmseg_g4seg.ops.masks import decide_labels, merge_class_probs, present_classes, resize_maps
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.ops.posterior import mix_foreground_probs
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep
from mmseg_g4seg.refiners.g4seg.updates.correspondence import CorrespondenceUpdate

from .cases import BACKGROUND, PROMPT, Case
from .explicit_attention import ExplicitMaskInjector
from .metered_prior import MeteredPrior
from .options import BenchmarkOptions
from .stages import MeteredFeatures


class PaperLoop:
    """Refines a case class by class."""

    def __init__(self, prior: MeteredPrior, features: MeteredFeatures, options: BenchmarkOptions) -> None:
        """Args:
        prior: the diffusion model.
        features: where reconstruction and original are compared.
        options: size and seed count; the method's own numbers are the package's defaults.
        """
        self.prior, self.features, self.options = prior, features, options
        self.update, self.timestep = CorrespondenceUpdate(), OneStep().timestep
        self.injector = ExplicitMaskInjector()

    @torch.no_grad()
    def __call__(self, case: Case, *, key: int = 0) -> Prediction:
        """Refines every class of the case but the background; `key` is the image's."""
        before = case.prediction
        classes = present_classes(before.label_map, len(before.probs), background_index=BACKGROUND)
        updated = []
        for c in classes:
            with no_known_prompts(self.prior):
                updated.append(self._refine_class(case, c, key))
        probs = merge_class_probs(before.probs, classes, torch.stack(updated))
        changed = (probs != before.probs).any(dim=0)
        labels = decide_labels(probs, background_index=BACKGROUND)
        return Prediction(probs, torch.where(changed, labels, before.label_map))

    def _refine_class(self, case: Case, index: int, key: int) -> Tensor:
        """New foreground probabilities of one class, (H, W)."""
        update, old = self.update, case.prediction.probs[index]
        pixels = resize_maps(case.image, (self.options.size, self.options.size)).clamp(0, 1)[None]
        clean = self.prior.encode_images(pixels)
        latents = self._reconstruct(case, index, clean, key)
        # the picture itself is part of the loop, whether or not these features read it
        reconstruction = self.prior.decode_latents(latents)
        original = self.features(self.prior, clean, pixels)
        generated = self.features(self.prior, latents, reconstruction)
        matched = resize_maps(self._read_matches(generated[0], original[0], old), old.shape)
        return mix_foreground_probs(old, matched.clamp(0, 1), update.beta, update.confidence_range)

    def _reconstruct(self, case: Case, index: int, clean: Tensor, key: int) -> Tensor:
        """One-step reconstruction under the class's mask: (1, c, h, w) -> (1, c, h, w) clean latents."""
        prompts = self.prior.encode_prompts([[case.class_names[index]]], PROMPT)
        mask = resize_maps((case.prediction.label_map == index).float(), clean.shape[-2:])
        layout = RegionLayout(mask[None, None].to(prompts.token_masks), prompts.token_masks)
        noise = image_noise(clean.shape[1:], seed=self.options.seed, key=key)[None].to(clean)
        noisy = self.prior.add_noise(clean, noise, self.timestep)
        output = self.prior.denoise(noisy, self.timestep, prompts, Injection(layout, [self.injector]))
        return self.prior.clean_latents(output, noisy, self.timestep)

    def _read_matches(self, generated: Tensor, original: Tensor, old: Tensor) -> Tensor:
        """Probabilities at the match of each location: (D, h', w') twice and (H, W) -> (h', w')."""
        with self.features.stages.stage('match'):
            low = resize_maps(old, original.shape[-2:])
            source, target = (F.normalize(f.float().flatten(1), dim=0) for f in (generated, original))
            index = (source.T @ target).argmax(dim=1)
            return low.flatten()[index].view_as(low)


@contextmanager
def no_known_prompts(prior: LatentPrior | MeteredPrior) -> Iterator[None]:
    """Lets a prior encode every prompt of the block anew; what it knew, it knows again afterwards."""
    known = dict(prior.known_prompts)
    prior.known_prompts.clear()
    try:
        yield
    finally:
        prior.known_prompts.clear()
        prior.known_prompts.update(known)
