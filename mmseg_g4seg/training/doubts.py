"""The refiner's question as a training task: which of two classes fills a region of doubt?

Shapes: B images, c latent channels, h w latent grid, H W image size.

Both classes are injected into the region in turn, around them what is certain, as the likelihood update
does; where the image shows one of the two, the layout that says so should have the lower error.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..refiners.layouts import class_regions
from .batches import Batch, LatentSet, pad_regions
from .images import IGNORE_INDEX

STRANGER = 0.25
"""How often the second class is any of the data set's in place of one of the image's."""
BLOB_CELLS = 6
"""Nodes of the noise that shapes blobs, along each side."""


@dataclass(frozen=True)
class Doubts:
    """Images with two layouts each, which differ in a region.

    Attributes:
        first: B images, the first class in the region.
        second: the same images and prompts, the second class there.
        truth: (B, h, w) float32 in [-1, 1]: share of each cell that is in the region and shows the first
            class, less that of the second.
    """

    first: Batch
    second: Batch
    truth: Tensor


def draw_doubts(data: LatentSet, count: int, generator: torch.Generator, background: int | None = None) -> Doubts:
    """Draws images, a region of doubt in each, and two classes for it.

    Args:
        data: images with label maps.
        count: B.
        generator: of all draws.
        background: class that has no name and no region.
    """
    entries = torch.randint(len(data.data), (count,), generator=generator).tolist()
    mirrored = torch.randint(2, (count,), generator=generator).tolist()
    grid = tuple(data.latents.shape[-2:])
    prompts, first, second, truth = [], [], [], []
    for entry, flip in zip(entries, mirrored, strict=True):
        label_map = data.label_map(entry, flip).long()
        region = doubted_region(label_map, generator)
        classes = _two_classes(label_map[region], data.data.present[entry], len(data.data.classes), generator)
        named = sorted({*data.data.present[entry], *classes} - {background})
        named = [named[i] for i in torch.randperm(len(named), generator=generator).tolist()]
        prompts.append(named)
        for masks, c in zip((first, second), classes, strict=True):
            filled = torch.where(region, c, label_map)
            masks.append(class_regions(filled, named, grid) if named else torch.zeros(0, *grid))
        shown = torch.stack([(label_map == c) & region for c in classes]).float()
        share = F.adaptive_avg_pool2d(shown, grid)
        truth.append(share[0] - share[1])
    latents = data.latents[mirrored, entries].float()
    batches = [Batch(latents, prompts, pad_regions(masks)) for masks in (first, second)]
    return Doubts(*batches, torch.stack(truth))


def doubted_region(label_map: Tensor, generator: torch.Generator) -> Tensor:
    """A blob of a tenth to a half of an image, or a band along the borders of its classes: (H, W) bool."""
    if torch.rand((), generator=generator) < 0.5:
        noise = torch.randn(1, 1, BLOB_CELLS, BLOB_CELLS, generator=generator)
        height = F.interpolate(noise, label_map.shape, mode='bicubic', align_corners=False)[0, 0]
        share = 0.1 + 0.4 * float(torch.rand((), generator=generator))
        return height > height.flatten().quantile(1 - share)
    reach = 2 * int(torch.randint(1, 7, (), generator=generator)) + 1
    labels = label_map.float()[None, None]
    highest = F.max_pool2d(labels, reach, 1, reach // 2)
    lowest = -F.max_pool2d(-labels, reach, 1, reach // 2)
    return (highest != lowest)[0, 0]


def doubt_loss(errors: Tensor, doubts: Doubts, sharpness: float) -> Tensor:
    """How unlikely the true classes are, given the errors of both layouts.

    Args:
        errors: (2 B, h, w) float32, of the first layouts and then of the second.
        doubts: what was drawn.
        sharpness: of the posterior, as the refiner's.

    Returns:
        Mean negative log-likelihood over the region, scalar; log 2 is that of a coin.
    """
    truth = doubts.truth.to(errors)
    first, second = errors.chunk(2)
    surprise = F.softplus(-sharpness * truth.sign() * (second - first))
    return (truth.abs() * surprise).sum() / truth.abs().sum().clamp_min(1e-6)


def doubts_settled(errors: Tensor, doubts: Doubts) -> float:
    """Share of the region where the layout that is right has the lower error, in [0, 1]; see `doubt_loss`."""
    truth = doubts.truth.to(errors)
    first, second = errors.chunk(2)
    right = truth.sign() * (second - first) > 0
    return float((truth.abs() * right).sum() / truth.abs().sum().clamp_min(1e-6))


def _two_classes(shown: Tensor, present: list[int], count: int, generator: torch.Generator) -> tuple[int, int]:
    """A class that a random pixel of the region shows, and another one."""
    labelled = shown[shown != IGNORE_INDEX]
    choices = labelled if len(labelled) else torch.tensor(present or [0])
    first = int(choices[torch.randint(len(choices), (), generator=generator)])
    others = [c for c in present if c != first]
    if not others or torch.rand((), generator=generator) < STRANGER:
        others = [c for c in range(count) if c != first]
    return first, others[int(torch.randint(len(others), (), generator=generator))]
