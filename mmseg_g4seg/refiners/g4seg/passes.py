"""Runs layouts through a prior's denoiser, a batch at a time.

Shapes: N layouts in a pass, R regions of a layout, c latent channels, h w latent grid, H W image size, H' W' the
prior's image size, T text tokens.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.injection.base import Injection, Injector
from mmseg_g4seg.diffusion.injection.control_images import number_regions
from mmseg_g4seg.diffusion.injection.layouts import RegionLayout
from mmseg_g4seg.diffusion.prediction import noise_target
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.noise import image_noise, noise_key
from mmseg_g4seg.prediction import ClassList, Key

from .layouts import EncodedImage, Layout, class_regions

Result = TypeVar('Result')


class Passes:
    """What an update asks of the prior: images encoded, layouts placed, noise predicted under them.

    One object serves one batch of images.
    """

    def __init__(
        self,
        prior: DiffusionPrior,
        injectors: Sequence[Injector],
        classes: ClassList,
        *,
        image_size: tuple[int, int],
        prompt_template: str = 'a photo of {name}',
        seed: int = 0,
        budget: MemoryBudget | None = None,
    ) -> None:
        """Args:
        prior: the diffusion model.
        injectors: how layouts reach its denoiser.
        classes: of the data set; their names go into the prompts.
        image_size: (H', W').
        prompt_template: the prompt, `{name}` standing for the name (or names).
        seed: of the noise.
        budget: how many layouts go through at once.
        """
        self.prior, self.injectors, self.classes = prior, injectors, classes
        self.image_size, self.prompt_template, self.seed = image_size, prompt_template, seed
        self.budget = budget or MemoryBudget()

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
        # the whole image, whatever its sides: a crop would hide the place that a pixel could be matched to
        own = image.to(self.prior.device, torch.float32)
        pixels = resize_maps(own, self.image_size).clamp(0, 1)
        return EncodedImage(own, pixels, self.prior.encode_images(pixels[None])[0], key)

    def place(self, image_index: int, image: EncodedImage, label_map: Tensor, classes: Sequence[int]) -> Layout:
        """Lays classes out where a label map has them.

        Args:
            image_index: of the image in the batch.
            image: that image.
            label_map: (H, W) int64.
            classes: R classes.
        """
        region_masks = class_regions(label_map, classes, image.latents.shape[-2:])
        # (H', W') a layout: 2 MB each at 512 x 512, which only a ControlNet looks at
        reads_maps = any(injector.reads_region_maps for injector in self.injectors)
        region_map = number_regions(label_map, classes, image.pixels.shape[-2:]) if reads_maps else None
        return Layout(image_index, tuple(classes), region_masks, region_map)

    def run(self, function: Callable[[Sequence[Layout]], Sequence[Result]], layouts: Sequence[Layout]) -> list[Result]:
        """Applies a function to batches of layouts, as many at once as memory holds; see `MemoryBudget.run`."""
        return self.budget.run(function, layouts, self.prior.device)

    def predict_latents(self, noisy: Tensor, timestep: int, layouts: Sequence[Layout]) -> Tensor:
        """Predicts clean latents in one step under N layouts: (N, c, h, w) -> (N, c, h, w)."""
        return self.prior.predict_latents(noisy, timestep, *self.condition(layouts, timestep))

    def noise_errors(
        self, images: Sequence[EncodedImage], layouts: Sequence[Layout], timesteps: Sequence[int], draws: int = 1
    ) -> list[Tensor]:
        """How well the prior predicts the noise under each layout: -log p(x | S) up to a factor.

        Layouts of one image see the same noise, so that their errors can be compared.

        Args:
            images: encoded images.
            layouts: any number, of any of the images.
            timesteps: noise levels.
            draws: of the noise, at each of them.

        Returns:
            (h, w) float32 for each layout, the squared error averaged over latent channels, timesteps and draws.
        """

        def measure(batch: Sequence[Layout]) -> list[Tensor]:
            errors = [self._error(images, batch, t, draw) for t in timesteps for draw in range(draws)]
            return list(torch.stack(errors).mean(dim=0))

        return self.run(measure, layouts)

    def _error(self, images: Sequence[EncodedImage], batch: Sequence[Layout], timestep: int, draw: int) -> Tensor:
        """Squared error of one draw, averaged over latent channels: (N, h, w)."""
        clean, noise = self.latents_and_noise(images, batch, timestep=timestep, draw=draw)
        noisy = self.prior.add_noise(clean, noise, timestep)
        # not |noise - output|: a v-prediction or flow model answers in units of its own
        output = self.prior.denoise(noisy, timestep, *self.condition(batch, timestep))
        target = noise_target(clean, noise, self.prior.alpha_cumprod(timestep), self.prior.prediction_type)
        return (output - target).square().mean(dim=1)

    def latents_and_noise(
        self, images: Sequence[EncodedImage], layouts: Sequence[Layout], *, timestep: int | None = None, draw: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Clean latents and noise of the image behind each layout: (N, c, h, w) twice.

        Layouts of one image get the same noise; timestep and draw tell an image's draws apart.
        """
        numbers = sorted({layout.image_index for layout in layouts})
        like = images[numbers[0]].latents
        # by image and timestep alone, so that batch, order, device and number of GPUs change nothing
        keys = [noise_key(images[i].key, timestep=timestep) for i in numbers]
        drawn = torch.stack([image_noise(like.shape, seed=self.seed, key=key, draw=draw) for key in keys])
        noise = dict(zip(numbers, drawn.to(like), strict=True))  # drawn on the CPU, moved at once
        clean = torch.stack([images[layout.image_index].latents for layout in layouts])
        return clean, torch.stack([noise[layout.image_index] for layout in layouts])

    def condition(self, layouts: Sequence[Layout], timestep: int) -> tuple[EncodedPrompts, Injection]:
        """Prompts of N layouts, and what is injected under them at a timestep."""
        names = [[self.classes[c] for c in layout.classes] for layout in layouts]
        prompts = self.prior.encode_prompts(names, self.prompt_template)
        regions = prompts.token_masks.shape[1]
        # layouts of one pass may differ in regions: those that one lacks are empty, and no token names them
        masks = [F.pad(lay.region_masks, (0, 0, 0, 0, 0, regions - len(lay.classes))) for lay in layouts]
        # all or none: one injector decides for every layout
        maps = [layout.region_map for layout in layouts if layout.region_map is not None]
        layout = RegionLayout(
            torch.stack(masks).to(prompts.token_masks),
            prompts.token_masks,
            noise_level=timestep / self.prior.num_train_timesteps,
            region_maps=torch.stack(maps) if maps else None,
            region_classes=[layout.classes for layout in layouts],
            classes=self.classes,
        )
        return prompts, Injection(layout, self.injectors)
