"""The refiner's question as a training task: which of two classes fills a region of doubt?

Shapes: B images, c latent channels, h w latent grid, H W image size.

Both classes are injected into the region in turn, as the likelihood update does; where the image shows one
of the two, the layout that says so should have the lower error. The coarse model has seen what surrounds
a region; the prior is asked what the image shows. So the layout must not give it away: of two classes each is
as often the true one, both count alike where a region shows both, and its shape and what surrounds it, if
anything, are another image's.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.refiners.g4seg.layouts import class_regions

from .batches import Batch, LatentSet, pad_regions
from .images import IGNORE_INDEX

LEAST_SHOWN = 0.002
"""Share of the image's pixels that a class has in a region to be one of the two."""
SURROUNDED = 0.5
"""How often there is something around a region."""
TRIES = 6
"""Regions and classes drawn until there are two."""
BLOB_CELLS = 6
"""Nodes of the noise that shapes blobs, along each side."""


@dataclass(frozen=True)
class DoubtSettings:
    """How much a training is about doubts, and which ones.

    Attributes:
        weight: of `doubt_loss`, in place of a share of each batch; 0 without. Needs label maps.
        rivals: how often, in [0, 1], a doubt is about a class of another image, see `draw_doubts`.
        background: class index that the refiner gives no name, so that it has no region in doubts either.
        caption_weight: of the doubts about captions (`captions.py`), which have a part of that share; 0 without.
        share: of each batch that doubts take, in [0, 1). With less than three quarters one prior learns both at once,
            to denoise and to settle doubts.
    """

    weight: float = 0.0
    rivals: float = 0.6
    background: int | None = None
    caption_weight: float = 0.0
    share: float = 0.75

    def __post_init__(self) -> None:
        if not 0 <= self.rivals <= 1:
            raise ValueError(f'rivals: expected a share in [0, 1], got {self.rivals}')
        if not 0 <= self.share < 1:
            raise ValueError(f'share: expected a share in [0, 1), got {self.share}')

    def denoised(self, batch_size: int) -> int:
        """Entries of a batch that doubts leave to denoising, one at least."""
        return max(1, int((1 - self.share) * batch_size))


@dataclass(frozen=True)
class Doubts:
    """Images with two layouts each, which differ in a region.

    Attributes:
        first: B images, the first class in the region.
        second: the same images and prompts, the second class there.
        truth: (B, h, w) float32 in [-1, 1]: share of each cell that is in the region and shows the first
            class, less that of the second; 0 all over an image where no two classes were found.
    """

    first: Batch
    second: Batch
    truth: Tensor


def draw_doubts(
    data: LatentSet, count: int, generator: torch.Generator, background: int | None = None, rivals: float = 0.0
) -> Doubts:
    """Draws images, a region of doubt in each, and two classes for it.

    Args:
        data: images with label maps.
        count: B.
        generator: of all draws.
        background: class that has no name and no region.
        rivals: how often, in [0, 1], one of the two classes is that of another image, so that the image itself
            may not have it.
    """
    entries = torch.randint(len(data.data), (count,), generator=generator).tolist()
    mirrored = torch.randint(2, (count,), generator=generator).tolist()
    others = torch.randint(len(data.data), (count,), generator=generator).tolist()
    rival_entries = torch.randint(len(data.data), (count,), generator=generator).tolist()
    grid = tuple(data.latents.shape[-2:])
    prompts: list[list[int]] = []
    first: list[Tensor] = []
    second: list[Tensor] = []
    truth: list[Tensor] = []
    for entry, other, rival, flip in zip(entries, others, rival_entries, mirrored, strict=True):
        label_map, around = (data.label_map(i, flip).long() for i in (entry, other))
        rival_map = data.label_map(rival, flip).long() if torch.rand((), generator=generator) < rivals else label_map
        region, classes = _draw_region(label_map, rival_map, around, data.rarity, generator)
        surrounded = torch.rand((), generator=generator) < SURROUNDED
        if not surrounded:
            around = torch.full_like(around, IGNORE_INDEX)
        named = sorted({*(data.data.present[other] if surrounded else []), *classes} - {background})
        named = [named[i] for i in torch.randperm(len(named), generator=generator).tolist()]
        prompts.append(named)
        for masks, c in zip((first, second), classes or [0, 0], strict=True):
            filled = torch.where(region, c, around)
            masks.append(class_regions(filled, named, grid) if named else torch.zeros(0, *grid))
        shown = [((label_map == c) & region).float() for c in classes or [0, 0]]
        truth.append(resize_maps(shown[0] - shown[1], grid))
    latents = data.latents[mirrored, entries].float()
    with_first, with_second = (Batch(latents, prompts, pad_regions(masks)) for masks in (first, second))
    return Doubts(with_first, with_second, torch.stack(truth))


def doubted_region(label_map: Tensor, generator: torch.Generator) -> Tensor:
    """A blob of a tenth to a half of an image, or a band along the borders of its classes: (H, W) bool."""
    if torch.rand((), generator=generator) < 0.5:
        noise = torch.randn(1, 1, BLOB_CELLS, BLOB_CELLS, generator=generator)
        height = F.interpolate(noise, label_map.shape, mode='bicubic', align_corners=False)[0, 0]
        share = 0.1 + 0.4 * float(torch.rand((), generator=generator))
        return height > height.flatten().quantile(1 - share)
    reach = 2 * int(torch.randint(1, 7, (), generator=generator)) + 1
    labels = label_map.float()[None, None]
    return (_highest(labels, reach) != -_highest(-labels, reach))[0, 0]


def _highest(labels: Tensor, reach: int) -> Tensor:
    """Highest label in the window around each pixel, rows first, then columns: (1, 1, H, W) -> (1, 1, H, W)."""
    rows = F.max_pool2d(labels, (reach, 1), 1, (reach // 2, 0))
    return F.max_pool2d(rows, (1, reach), 1, (0, reach // 2))


def doubt_loss(errors: Tensor, truth: Tensor, sharpness: float) -> Tensor:
    """How unlikely the true classes are, given the errors of both layouts.

    Args:
        errors: (2 B, h, w) float32, of the first layouts and then of the second.
        truth: (B, h, w), of `Doubts`.
        sharpness: of the posterior, as the refiner's.

    Returns:
        Mean negative log-likelihood over images and their two classes, scalar; log 2 is that of a coin.
    """
    return _average(F.softplus(-sharpness * _margin(errors, truth)), truth)


def doubts_settled(errors: Tensor, truth: Tensor) -> float:
    """How often the layout that is right has the lower error, in [0, 1]: (2 B, h, w), (B, h, w), as `doubt_loss`.

    NaN where no image has a doubt: 0 would say that all are settled wrongly.
    """
    if not truth.any():
        return math.nan
    return float(_average((_margin(errors, truth) > 0).float(), truth))


def _margin(errors: Tensor, truth: Tensor) -> Tensor:
    """By how much the layout that is wrong has the higher error: (B, h, w)."""
    first, second = errors.chunk(2)
    return truth.to(errors).sign() * (second - first)


def _average(values: Tensor, truth: Tensor) -> Tensor:
    """Means over the first and over the second class's cells, averaged: (B, h, w) -> scalar."""
    truth = truth.to(values)
    weights = torch.zeros_like(truth)
    for part in (truth.clamp_min(0), (-truth).clamp_min(0)):
        weights += part / part.sum(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    return (weights * values).sum() / weights.sum().clamp_min(1e-6)


def _draw_region(
    label_map: Tensor, rival_map: Tensor, around: Tensor, rarity: Tensor, generator: torch.Generator
) -> tuple[Tensor, list[int]]:
    """A region of doubt, (H, W) bool, shaped by what is around it, and two classes for it.

    One is shown there by the image, one by its rival. Both are drawn by one rule, and anew where they are
    the same: of two classes, each is then as often the image's as the rival's.

    An empty region and no class where none was found.
    """
    for _ in range(TRIES):
        region = doubted_region(around, generator)
        own, rival = (_draw_shown(m[region], label_map.numel(), rarity, generator) for m in (label_map, rival_map))
        if own is not None and rival is not None and own != rival:
            return region, [own, rival] if torch.rand((), generator=generator) < 0.5 else [rival, own]
    return torch.zeros_like(label_map, dtype=torch.bool), []


def _draw_shown(labels: Tensor, pixels: int, rarity: Tensor, generator: torch.Generator) -> int | None:
    """One of the classes in a region of an image, the rarer the likelier: (P,) labels; None where there is none."""
    ids, counts = labels.unique(return_counts=True)
    shown = ids[(ids != IGNORE_INDEX) & (counts >= LEAST_SHOWN * pixels)]
    return int(shown[torch.multinomial(rarity[shown], 1, generator=generator)]) if len(shown) else None
