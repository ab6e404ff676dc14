"""Layouts: which classes of which image go through the denoiser together, and where they are.

Shapes: N layouts in a pass, R regions of a layout, c latent channels, h w latent grid, H W image
size, H' W' the prior's image size, T text tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.injection.attention import MaskInjection
from mmseg_g4seg.diffusion.injection.control_images import control_colours, number_regions, paint_regions
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.prediction import ClassName, Key

from .settings import G4SegSettings

Result = TypeVar('Result')

ClassProbs = tuple[Sequence[int], Tensor]
"""Classes of one image with their probabilities, (classes, H, W) float32: what an update returns."""


@dataclass(frozen=True)
class EncodedImage:
    """What is computed once for an image, however many classes it has.

    Attributes:
        image: (3, H, W) float32 RGB in [0, 1], as given.
        pixels: (3, H', W') likewise, at the prior's image size.
        latents: (c, h, w) float32 clean latents.
        key: of its noise.
    """

    image: Tensor
    pixels: Tensor
    latents: Tensor
    key: Key


@dataclass(frozen=True)
class Layout:
    """Regions of one image, named and placed.

    Attributes:
        image: number of the image in the batch.
        classes: R class indices.
        region_masks: (R, h, w) float in [0, 1], on the latent grid.
        regions: (H', W') int64, 1 to R where a region is and 0 elsewhere, for a ControlNet; None where
            the prior has none.
    """

    image: int
    classes: tuple[int, ...]
    region_masks: Tensor
    regions: Tensor | None = None


def class_regions(label_map: Tensor, classes: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Share of each latent cell that a class covers: (H, W) int64 -> (R, h, w) float32."""
    onehot = torch.stack([label_map == c for c in classes]).float()
    return resize_maps(onehot, grid)


def latents_and_noise(
    images: Sequence[EncodedImage], layouts: Sequence[Layout], *, seed: int, tag: str = '', draw: int = 0
) -> tuple[Tensor, Tensor]:
    """Clean latents and noise of the image behind each layout: (N, c, h, w) twice.

    Layouts of one image get the same noise; `tag` and `draw` tell an image's draws apart.
    """
    numbers = sorted({layout.image for layout in layouts})
    shape = images[numbers[0]].latents.shape
    drawn = torch.stack([image_noise(shape, seed=seed, key=f'{images[i].key}{tag}', draw=draw) for i in numbers])
    noise = dict(zip(numbers, drawn.to(images[numbers[0]].latents), strict=True))
    clean = torch.stack([images[layout.image].latents for layout in layouts])
    return clean, torch.stack([noise[layout.image] for layout in layouts])


class LayoutPass:
    """Runs layouts through a prior's denoiser, a batch at a time."""

    def __init__(
        self,
        prior: DiffusionPrior,
        settings: G4SegSettings,
        class_names: Sequence[ClassName],
        budget: MemoryBudget | None = None,
    ) -> None:
        """Args:
            prior: the diffusion model.
            settings: of the refiner.
            class_names: C names, of all classes.
            budget: how many layouts go through at once; the settings' when not given.

        Raises:
            ValueError: if there is a ControlNet, and a palette that does not have C colours.
        """
        self.prior, self.settings, self.class_names = prior, settings, class_names
        self.budget = budget or MemoryBudget(settings.passes_per_batch, gibibytes=settings.memory_budget)
        self.colours = control_colours(class_names, settings.control_palette) if prior.reads_control_image else None

    def encode(self, images: Sequence[Tensor], keys: Sequence[Key]) -> list[EncodedImage]:
        """Resizes and encodes each image once, alone, so that its latents do not depend on the batch.

        Args:
            images: (3, H, W) float RGB in [0, 1] each.
            keys: of their noise, one an image.
        """

        def encode_alone(batch: Sequence[tuple[Tensor, Key]]) -> list[EncodedImage]:
            return [self._encode_one(image, key) for image, key in batch]

        return MemoryBudget(1).run(encode_alone, list(zip(images, keys, strict=True)), self.prior.device)

    def _encode_one(self, image: Tensor, key: Key) -> EncodedImage:
        own = image.to(self.prior.device, torch.float32)
        pixels = resize_maps(own, self.settings.size).clamp(0, 1)
        return EncodedImage(own, pixels, self.prior.encode_images(pixels[None])[0], key)

    def place(self, number: int, image: EncodedImage, label_map: Tensor, classes: Sequence[int]) -> Layout:
        """Lays classes out where a label map has them.

        Args:
            number: of the image in the batch.
            image: that image.
            label_map: (H, W) int64.
            classes: R classes.
        """
        region_masks = class_regions(label_map, classes, image.latents.shape[-2:])
        regions = None if self.colours is None else number_regions(label_map, classes, image.pixels.shape[-2:])
        return Layout(number, tuple(classes), region_masks, regions)

    def run(self, function: Callable[[Sequence[Layout]], Sequence[Result]], layouts: Sequence[Layout]) -> list[Result]:
        """Applies a function to batches of layouts, as many at once as memory holds; see `MemoryBudget.run`."""
        return self.budget.run(function, layouts, self.prior.device)

    def denoise(self, noisy: Tensor, timestep: int, layouts: Sequence[Layout]) -> Tensor:
        """One pass of the denoiser under N layouts: (N, c, h, w) -> (N, c, h, w)."""
        prompts, injection = self.condition(layouts, timestep)
        return self.prior.denoise(noisy, timestep, prompts, injection)

    def predict_latents(self, noisy: Tensor, timestep: int, layouts: Sequence[Layout]) -> Tensor:
        """Predicts clean latents in one step under N layouts: (N, c, h, w) -> (N, c, h, w)."""
        prompts, injection = self.condition(layouts, timestep)
        return self.prior.predict_latents(noisy, timestep, prompts, injection)

    def condition(self, layouts: Sequence[Layout], timestep: int) -> tuple[EncodedPrompts, MaskInjection]:
        """Prompts of N layouts, and what is injected under them at a timestep."""
        names = [[self.class_names[c] for c in layout.classes] for layout in layouts]
        prompts = self.prior.encode_prompts(names, self.settings.prompt_template)
        regions = prompts.token_masks.shape[1]
        masks = [F.pad(lay.region_masks, (0, 0, 0, 0, 0, regions - len(lay.classes))) for lay in layouts]
        injection = MaskInjection(
            torch.stack(masks).to(prompts.token_masks),
            prompts.token_masks,
            cross_weight=self.settings.cross_weight,
            self_weight=self.settings.self_weight,
            rule=self.settings.injection_rule,
            noise_level=timestep / self.prior.num_train_timesteps,
            control_image=self._control_images(layouts),
            control_scale=self.settings.control_scale,
        )
        return prompts, injection

    def _control_images(self, layouts: Sequence[Layout]) -> Tensor | None:
        """Layouts in ADE20K's colours, (N, 3, H', W') float32 RGB in [0, 1]; None without a ControlNet."""
        if self.colours is None:
            return None
        painted = []
        for layout in layouts:
            assert layout.regions is not None  # `place` makes them wherever there are colours
            painted.append(paint_regions(layout.regions, self.colours[list(layout.classes)]))
        return torch.stack(painted)
