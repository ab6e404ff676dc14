"""G4Seg: refines masks by reconstructing the image under them (arXiv 2506.01539).

Shapes: C classes of the data set, K classes selected in an image, H W image size, H' W' the prior's image size, c
latent channels, h w latent grid.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.injection.attention import MaskInjector
from mmseg_g4seg.diffusion.injection.base import Injector, injector_list
from mmseg_g4seg.diffusion.loading import as_prior, load_prior
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.masks import as_size, present_classes, resize_maps
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner, check_inputs
from mmseg_g4seg.registry import NUMBER, check_option_names, expect_option, expect_part, register

from .encoding import EncodedImage, encode_images
from .passes import Passes
from .reconstruction import OneStep, Reconstruction
from .updates.base import Update, merge_update
from .updates.correspondence import CorrespondenceUpdate


@register
class G4SegRefiner(Refiner):
    """Refines multi-class predictions with a frozen text-to-image diffusion model.

    The prior (the diffusion model) sees the image with noise, while the injectors bring the coarse mask into it. The
    update reads its answer, and changes the probabilities of the pixels that the coarse mask is unsure about.

    Examples:
        >>> refiner = G4SegRefiner('tiny', image_size=128)
        >>> refined = refiner.refine(image, Prediction(probs, probs.argmax(0)), ['sky', 'tree'])
    """

    name = 'G4Seg'

    def __init__(
        self,
        prior: 'DiffusionPrior | str | Path | dict[str, Any]',
        *,
        update: Update | None = None,
        injection: Injector | Sequence[Injector] | None = None,
        image_size: int | Sequence[int] = 512,
        prompt_template: str = 'a photo of {name}',
        min_area: float = 0.0,
        seed: int = 0,
        passes_per_batch: int | None = None,
        memory_budget: float | None = None,
    ) -> None:
        """Args:
            prior: a built diffusion model; or its name, folder or hub id, or a dict of `load_prior`'s arguments.
            update: rule by which the prior's answer changes the probabilities; default: the paper's
                `CorrespondenceUpdate`.
            injection: how the mask reaches the prior's denoiser: one injector or several. Default: `MaskInjector`; an
                empty list injects nothing.
            image_size: side, or (height, width), to which images are resized for the prior; multiples of the prior's
                `image_multiple`.
            prompt_template: the prompt; `{name}` stands for the class name, or names.
            min_area: a class is refined if it covers at least this share of the image's pixels.
            seed: of the noise. Seed and image key determine every draw.
            passes_per_batch: most layouts (classes of one image or of several) that go through the denoiser at once.
                Default: as many as memory holds on a GPU, and 8 on a CPU.
            memory_budget: most memory of such a batch on a GPU, in GiB; default: nine tenths of what is free.

        Raises:
            ValueError: if a number is out of range, a part is of the wrong kind, or the prior does not support the
                image size, a timestep or an injector.
        """
        self.update = CorrespondenceUpdate() if update is None else expect_part('update', update, Update)
        self.injectors = injector_list(MaskInjector() if injection is None else injection)
        self.image_size = as_size(image_size)
        self.prompt_template = expect_option(
            'prompt_template',
            prompt_template,
            str,
            "text with one '{name}' in it",
            holds=lambda t: t.count('{name}') == 1,
        )
        self.min_area = expect_option('min_area', min_area, NUMBER, 'a share in [0, 1]', holds=lambda v: 0 <= v <= 1)
        self.seed = expect_option('seed', seed, int, 'an integer')
        # one for all batches: what the first one measured on a GPU holds for the next
        self.budget = MemoryBudget(passes_per_batch, gibibytes=memory_budget)
        # last, since it may be gigabytes: a number out of range should not cost a minute
        self.prior = as_prior(prior)
        self.prior.check_image_size(self.image_size)
        self.update.check(self.prior)
        for injector in self.injectors:
            injector.check(self.prior)

    @classmethod
    def check_options(cls, options: Mapping[str, Any], where: str) -> None:
        """Checks what a config says of the prior, before anything is built; see `check_config`."""
        prior = options.get('prior')
        if isinstance(prior, Mapping):
            check_option_names(load_prior, prior, f'{where}: prior')

    @without_autocast()
    @torch.no_grad()
    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        classes = ClassList.of(classes)
        check_inputs(images, predictions, len(classes))
        # without keys two images of a batch would still differ, but one image would depend on its place
        keys = list(range(len(images))) if keys is None else list(keys)
        if len(keys) != len(images):
            raise ValueError(f'expected one key an image, got {len(keys)} keys for {len(images)} images')
        selected = [self.select(p, classes) for p in predictions]
        active = [i for i, found in enumerate(selected) if found]
        refined = list(predictions)
        if not active:
            return refined
        passes = self.passes(classes)
        encoded = encode_images(self.prior, [images[i] for i in active], [keys[i] for i in active], self.image_size)
        current = [self.on_device(predictions[i]) for i in active]
        updated = self.update(passes, encoded, current, [selected[i] for i in active])
        # once a batch: a look at every pass would make the device wait each time
        self.prior.check_finite()
        for i, prediction, probs in zip(active, current, updated, strict=True):
            merged, given = merge_update(prediction, probs, classes), predictions[i]
            refined[i] = Prediction(merged.probs.to(given.probs.device), merged.label_map.to(given.label_map.device))
        return refined

    @without_autocast()
    @torch.no_grad()
    def reconstruct(
        self,
        image: Tensor,
        prediction: Prediction,
        classes: ClassList | Sequence[ClassName],
        *,
        key: Key = 0,
        reconstruction: Reconstruction | None = None,
    ) -> Tensor:
        """Reconstructs an image under its mask by the prior, with all classes injected at once.

        Args:
            image: as for `refine`, (3, H, W).
            prediction: likewise.
            classes: likewise.
            key: likewise.
            reconstruction: how the image is generated; default: the update's own, or `OneStep` if it has none.

        Returns:
            (3, H, W) float32 RGB in [0, 1].
        """
        classes = ClassList.of(classes)
        check_inputs([image], [prediction], len(classes))
        selected = self.select(prediction, classes)
        if not selected:
            return image.float()
        _, latents = self.generate(image, prediction, classes, selected, key=key, reconstruction=reconstruction)
        pixels = self.prior.decode_latents(latents)[0]
        self.prior.check_finite()
        return resize_maps(pixels, image.shape[-2:]).to(image.device)

    @without_autocast()
    @torch.no_grad()
    def generate(
        self,
        image: Tensor,
        prediction: Prediction,
        classes: ClassList,
        selected: Sequence[int],
        *,
        key: Key = 0,
        reconstruction: Reconstruction | None = None,
    ) -> tuple[EncodedImage, Tensor]:
        """Generates an image anew under some classes of its mask, injected at once; other arguments as `reconstruct`.

        Args:
            selected: class indices.

        Returns:
            The image as the prior sees it, and clean latents (1, c, h, w) float32 of what it generates.
        """
        reconstruction = reconstruction or getattr(self.update, 'reconstruction', None) or OneStep()
        reconstruction.check(self.prior)
        passes = self.passes(classes)
        encoded = encode_images(self.prior, [image], [key], self.image_size)
        layout = passes.place(0, encoded[0], self.on_device(prediction).label_map, selected)
        return encoded[0], reconstruction(passes, encoded, [layout])

    def to(self, device: torch.device | str) -> 'G4SegRefiner':
        """Moves prior, update and injectors to a device, in place."""
        self.prior.to(device)
        self.update.to(device)
        for injector in self.injectors:
            injector.to(device)
        return self

    def passes(self, classes: ClassList) -> Passes:
        """The passes through the prior for one batch of images of these classes; an update asks by them."""
        return Passes(
            self.prior,
            self.injectors,
            classes,
            image_size=self.image_size,
            prompt_template=self.prompt_template,
            seed=self.seed,
            budget=self.budget,
        )

    def select(self, prediction: Prediction, classes: ClassList) -> list[int]:
        """Classes to refine in an image: present, known to the prior, and not the background.

        Raises:
            ValueError: if the prior knows none of the classes at all.
        """
        # most likely the names are another language's, or another data set's: nothing would ever be refined
        if not classes.any_known:
            raise ValueError(f'known: expected some of {classes.labels}, got {list(classes.known or ())}')
        present = present_classes(
            prediction.label_map,
            len(prediction.probs),
            min_area=self.min_area,
            background_index=classes.background,
        )
        return [c for c in present if classes.knows(c)]

    def on_device(self, prediction: Prediction) -> Prediction:
        """A prediction in float32 on the prior's device."""
        device = self.prior.device
        return Prediction(prediction.probs.to(device, torch.float32), prediction.label_map.to(device))
