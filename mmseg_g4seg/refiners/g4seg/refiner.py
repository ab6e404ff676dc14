"""G4Seg: refines masks by reconstructing the image under them (arXiv 2506.01539).

Shapes: C classes of the data set, K classes selected in an image, H W image size, c latent
channels, h w latent grid.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.inversion import check_inversion
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.denoiser import DenoiserFeatures
from mmseg_g4seg.ops.masks import decide_labels, merge_class_probs, present_classes, resize_maps
from mmseg_g4seg.prediction import ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner, check_inputs

from .acceptance import Acceptance
from .layouts import LayoutPass
from .settings import G4SegSettings
from .updates.correspondence import CorrespondenceUpdate
from .updates.likelihood import LikelihoodUpdate


class G4SegRefiner(Refiner):
    """Refines multi-class predictions with a frozen text-to-image diffusion model, without training.

    Example:
        >>> refiner = G4SegRefiner(load_prior('tiny'), settings=G4SegSettings(image_size=128))
        >>> refined = refiner.refine(image, Prediction(probs, probs.argmax(0)), ['sky', 'tree'])
    """

    name = 'G4Seg'

    def __init__(
        self, prior: DiffusionPrior, *, features: FeatureExtractor | None = None, settings: G4SegSettings | None = None
    ) -> None:
        """Args:
            prior: the diffusion model.
            features: where reconstruction and original are compared; the prior's own decoder
                features when not given.
            settings: every other parameter.

        Raises:
            ValueError: if the prior cannot take the image size, a timestep, or the inversion.
        """
        self.prior = prior
        self.features = features or DenoiserFeatures(prior)
        self.settings = settings or G4SegSettings()
        self.budget = MemoryBudget(self.settings.passes_per_batch, gibibytes=self.settings.memory_budget)
        prior.check_image_size(self.settings.size)
        if self.settings.generation is not None:
            check_inversion(prior, self.settings.generation)
        if self.settings.control_palette is not None and not prior.reads_control_image:
            raise ValueError('control_palette: expected a prior with a ControlNet, which reads it, got one without')
        for timestep in (self.settings.timestep, *self.settings.likelihood_timesteps):
            prior.check_timestep(timestep)

    @torch.no_grad()
    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        class_names: Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        names = self._names(class_names)
        check_inputs(images, predictions, len(names))
        keys = list(range(len(images))) if keys is None else list(keys)
        if len(keys) != len(images):
            raise ValueError(f'expected one key an image, got {len(keys)} keys for {len(images)} images')
        refined = list(predictions)
        active = [i for i, p in enumerate(predictions) if self._selected(p, names)]
        if not active:
            return refined
        layout_pass = LayoutPass(self.prior, self.settings, names, self.budget)
        encoded = layout_pass.encode([images[i] for i in active], [keys[i] for i in active])
        update, accept = self._update(layout_pass), Acceptance(layout_pass)
        for repetition in range(self.settings.iterations):
            if repetition and self.settings.update == 'likelihood':  # the same noise would be the same evidence
                encoded = [replace(image, key=f'{image.key}#{repetition}') for image in encoded]
            current = [self._on_device(refined[i]) for i in active]
            updated = update(encoded, current, [self._selected(p, names) for p in current])
            merged = [self._merge(p, classes, probs) for p, (classes, probs) in zip(current, updated, strict=True)]
            if self.settings.accept:
                merged = accept(encoded, current, merged)
            for i, prediction in zip(active, merged, strict=True):
                refined[i] = prediction
        self.prior.check_finite()
        return [
            Prediction(r.probs.to(p.probs.device), r.label_map.to(p.label_map.device))
            for r, p in zip(refined, predictions, strict=True)
        ]

    @torch.no_grad()
    def reconstruct(
        self, image: Tensor, prediction: Prediction, class_names: Sequence[ClassName], *, key: Key = 0
    ) -> Tensor:
        """Shows what the prior makes of an image under its mask, all classes injected at once.

        Args as `refine`; returns (3, H, W) float32 RGB in [0, 1].
        """
        names = self._names(class_names)
        check_inputs([image], [prediction], len(names))
        selected = self._selected(prediction, names)
        if not selected:
            return image.float()
        layout_pass = LayoutPass(self.prior, self.settings, names)
        encoded = layout_pass.encode([image], [key])
        prediction = self._on_device(prediction)
        layout = layout_pass.place(0, encoded[0], prediction.label_map, selected)
        latents = CorrespondenceUpdate(layout_pass, self.features).reconstruct(encoded, [layout])
        rebuilt = resize_maps(self.prior.decode_latents(latents)[0], image.shape[-2:]).to(image.device)
        self.prior.check_finite()
        return rebuilt

    def to(self, device: torch.device | str) -> 'G4SegRefiner':
        """Moves prior and feature extractor to a device, in place."""
        self.prior.to(device)
        self.features.to(device)
        return self

    def _names(self, class_names: Sequence[ClassName]) -> Sequence[ClassName]:
        names = self.settings.class_names or class_names
        if len(names) != len(class_names):
            raise ValueError(f'class_names: expected {len(class_names)} names, one a class, got {len(names)}')
        if not any(map(self.settings.knows, names)):
            raise ValueError(f'known_classes: expected some of {list(names)}, got {self.settings.known_classes!r}')
        return names

    def _selected(self, prediction: Prediction, names: Sequence[ClassName]) -> list[int]:
        present = present_classes(
            prediction.label_map,
            len(prediction.probs),
            min_area=self.settings.min_area,
            background_index=self.settings.background_index,
        )
        return [c for c in present if self.settings.knows(names[c])]

    def _on_device(self, prediction: Prediction) -> Prediction:
        device = self.prior.device
        return Prediction(prediction.probs.to(device, torch.float32), prediction.label_map.to(device))

    def _update(self, layout_pass: LayoutPass) -> Any:
        if self.settings.update == 'likelihood':
            return LikelihoodUpdate(layout_pass)
        return CorrespondenceUpdate(layout_pass, self.features)

    def _merge(self, prediction: Prediction, classes: Sequence[int], updated: Tensor) -> Prediction:
        """Merges updated classes; a pixel whose probabilities did not change keeps its coarse label."""
        probs = merge_class_probs(prediction.probs, classes, updated)
        changed = (
            (probs != prediction.probs).any(dim=0) & (prediction.label_map < len(probs)) & (prediction.label_map >= 0)
        )
        labels = decide_labels(
            probs,
            background_index=self.settings.background_index,
            background_threshold=self.settings.background_threshold,
        )
        return replace(prediction, probs=probs, label_map=torch.where(changed, labels, prediction.label_map))
