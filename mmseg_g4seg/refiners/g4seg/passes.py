"""Puts layouts before a prior: places classes, words them as prompts and injection, cuts them into batches.

Shapes: N layouts in a pass, R regions of a layout, h w latent grid, H W image size, H' W' the prior's image size, T
text tokens.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.batching import Attempt, MemoryBudget
from mmseg_g4seg.diffusion.injection.base import Injection, Injector
from mmseg_g4seg.diffusion.injection.control_images import number_regions
from mmseg_g4seg.diffusion.injection.layouts import RegionLayout
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.prediction import ClassList

from .encoding import EncodedImage
from .layouts import Layout, class_regions


class Passes:
    """What an update asks the prior with, for one batch of images.

    `prior.denoise(noisy, timestep, *passes.condition(layouts, timestep))` is one pass under N layouts.
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

    def attempts(self, layouts: Sequence[Layout]) -> Iterator[Attempt[Layout]]:
        """Batches of layouts, as many at once as memory holds; see `MemoryBudget.attempts`."""
        return self.budget.attempts(layouts, self.prior.device)

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
