"""Batches for the denoiser: latents, the classes that each prompt names, and their masks.

Shapes: N images, B entries of a batch, c latent channels, h w latent grid, R regions of a prompt.

Each entry is shown in one of four ways, so that the prior answers to every use that the refiner
makes of it: no caption; a caption of the classes present; one class with its mask injected; all
classes with all masks injected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmseg_g4seg.refiners.g4seg.layouts import class_regions

from .images import TrainingImages
from .precision import mixed_precision

View = Literal['empty', 'caption', 'one class', 'all classes']
VIEWS: tuple[View, ...] = ('empty', 'caption', 'one class', 'all classes')


@dataclass(frozen=True)
class Batch:
    """Attributes:
    latents: (B, c, h, w) float32, scaled.
    prompts: for each entry the class indices that its prompt names; none is the empty prompt.
    region_masks: (B, R, h, w) float32, 0 where nothing is injected.
    """

    latents: Tensor
    prompts: list[list[int]]
    region_masks: Tensor


class LatentSet:
    """Images as latents, each beside its mirror image, with the label maps they came with.

    Attributes:
        data: the images.
        latents: (2, N, c, h, w) float16, of the images and of their mirror images.
        rarity: (C,) float32, 1 / number of images that show a class.
    """

    def __init__(self, data: TrainingImages, vae: Any, device: str) -> None:
        """Args:
        data: the images.
        vae: diffusers `AutoencoderKL` that encodes them.
        device: to encode on.
        """
        self.data = data
        self.latents = torch.stack([_encode(images, vae, device) for images in (data.images, data.images.flip(-1))])
        shown = torch.tensor([c for present in data.present for c in present], dtype=torch.long)
        self.rarity = 1 / torch.bincount(shown, minlength=len(data.classes)).clamp_min(1)

    def draw(self, count: int, shares: Sequence[float], generator: torch.Generator) -> Batch:
        """Draws a batch at random; `shares` are the weights of `VIEWS`."""
        entries = torch.randint(len(self.data), (count,), generator=generator).tolist()
        mirrored = torch.randint(2, (count,), generator=generator).tolist()
        drawn = torch.multinomial(
            torch.tensor(shares, dtype=torch.float32), count, replacement=True, generator=generator
        )
        views = [VIEWS[i] for i in drawn.tolist()]
        return self.assemble(entries, mirrored, views, generator)

    def assemble(
        self, entries: Sequence[int], mirrored: Sequence[int], views: Sequence[View], generator: torch.Generator
    ) -> Batch:
        """Builds the batch of the given entries; the generator orders the classes."""
        prompts, masks = [], []
        grid = tuple(self.latents.shape[-2:])
        for entry, flip, view in zip(entries, mirrored, views, strict=True):
            present = self.data.present[entry]
            order = [present[i] for i in torch.randperm(len(present), generator=generator).tolist()]
            named = {'empty': [], 'one class': order[:1]}.get(view, order)
            prompts.append(named)
            injected = view in ('one class', 'all classes') and named
            masks.append(self._region_masks(entry, flip, named if injected else [], grid))
        return Batch(self.latents[list(mirrored), list(entries)].float(), prompts, pad_regions(masks))

    def label_map(self, entry: int, mirrored: int) -> Tensor:
        """(H, W) uint8, as the entry's latents were: mirrored or not."""
        if self.data.label_maps is None:
            raise ValueError('expected images with label maps, got tags')
        label_map = self.data.label_maps[entry]
        return label_map.flip(-1) if mirrored else label_map

    def _region_masks(self, entry: int, mirrored: int, classes: list[int], grid: tuple[int, ...]) -> Tensor:
        """Share of each latent cell that a class covers: (classes, h, w)."""
        if self.data.label_maps is None or not classes:
            return torch.zeros(0, *grid)
        label_map = self.label_map(entry, mirrored)
        return class_regions(label_map, classes, grid)


def pad_regions(masks: Sequence[Tensor]) -> Tensor:
    """Region masks of B prompts, (R, h, w) each, as one tensor (B, most, h, w): zeros for what a prompt lacks."""
    regions = max(1, *(len(m) for m in masks))
    return torch.stack([F.pad(m, (0, 0, 0, 0, 0, regions - len(m))) for m in masks])


@torch.no_grad()
def _encode(images: Tensor, vae: Any, device: str) -> Tensor:
    """(N, 3, H, W) uint8 -> (N, c, h, w) float16 latents, scaled."""
    chunks = []
    for chunk in tqdm(images.split(16), 'encoding images', leave=False):
        with mixed_precision(device):
            latents = vae.encode(chunk.to(device).float() / 127.5 - 1).latent_dist.mode()
        chunks.append((latents.float() * vae.config.scaling_factor).half().cpu())
    return torch.cat(chunks)
