"""Captions that decide: of two that differ in one name, the one that names what the image shows has the lower error.

Shapes: B entries, c latent channels, h w latent grid of an entry, H W pixels of an entry.

Under injected masks the layout tells all, and a denoiser learns to read names only where nothing else says what a place
shows. So a batch can hold captions without masks, of one name, of two or of all, and beside each the same caption with
one name replaced by that of a class which is not there. No mask supervises attention: what is compared are errors.
"""

import torch
from torch import Tensor

from mmseg_g4seg.refiners.g4seg.layouts import class_regions

from .batches import Batch, LatentSet
from .doubts import Doubts

MOST_NAMES = (1, 2, 1000)
"""Captions name at most so many of the classes that are shown, each number as often as the others."""
SPLIT = 2
"""Entries are windows of an image, of one part in so many of each side: few classes are in one, so that a name says
much, and four cost what one whole image costs."""
LEAST_SHOWN = 0.01
"""Share of a window that a class covers to be named."""


def draw_caption_doubts(data: LatentSet, count: int, generator: torch.Generator) -> Doubts:
    """Draws windows of images, and two captions for each: a true one, and one with a name that is not true.

    Args:
        data: images with label maps; with tags alone each entry is a whole image.
        count: of whole images; B is `SPLIT` squared times as many windows.
        generator: of all draws.

    Returns:
        The true captions first, no masks. The truth is 1 where the class is whose name is replaced (with tags alone
        all over the image), and 0 all over an entry where nothing, or all that there is, is shown.
    """
    count = count * SPLIT**2 if data.data.label_maps is not None else count
    entries = torch.randint(len(data.data), (count,), generator=generator).tolist()
    mirrored = torch.randint(2, (count,), generator=generator).tolist()
    windows = [_draw_window(data, entry, flip, generator) for entry, flip in zip(entries, mirrored, strict=True)]
    latents = torch.stack([window for window, _, _ in windows]).float()
    first, second, truth = [], [], []
    for i, (_, label_map, present) in enumerate(windows):
        # a name that is seldom shown must not be doubted without a look at the image: what is false here is true
        # elsewhere, and both are drawn by one rule
        elsewhere = windows[i - 1][2]
        absent = [c for c in elsewhere if c not in present] or sorted(set(range(len(data.rarity))) - set(present))
        if not present or not absent:
            named, false, true = present, -1, -1
        else:
            true, false = (_draw_rare(classes, data.rarity, generator) for classes in (present, absent))
            named = _draw_names(true, present, generator)
        first.append(named)
        second.append([false if c == true else c for c in named])
        truth.append(_shown(label_map, true, latents.shape[-2:]))
    nothing = torch.zeros(count, 1, *latents.shape[-2:])
    return Doubts(Batch(latents, first, nothing), Batch(latents, second, nothing), torch.stack(truth))


def _draw_window(
    data: LatentSet, entry: int, mirrored: int, generator: torch.Generator
) -> tuple[Tensor, Tensor | None, list[int]]:
    """Latents (c, h, w), label map (H, W) and classes of a window; of the whole image, without map, by its tags."""
    latents = data.latents[mirrored, entry]
    if data.data.label_maps is None:
        return latents, None, data.data.present[entry]
    label_map = data.label_map(entry, mirrored)
    scale = label_map.shape[0] // latents.shape[1]
    rows, columns = (
        _draw_span(side, side // SPLIT, generator) for side in (int(latents.shape[1]), int(latents.shape[2]))
    )
    shown = label_map[rows.start * scale : rows.stop * scale, columns.start * scale : columns.stop * scale]
    areas = torch.bincount(shown.flatten().long(), minlength=len(data.rarity))[: len(data.rarity)]
    return latents[:, rows, columns], shown, torch.where(areas >= LEAST_SHOWN * shown.numel())[0].tolist()


def _draw_span(side: int, length: int, generator: torch.Generator) -> slice:
    start = int(torch.randint(side - length + 1, (), generator=generator))
    return slice(start, start + length)


def _draw_rare(classes: list[int], rarity: Tensor, generator: torch.Generator) -> int:
    return classes[int(torch.multinomial(rarity[classes], 1, generator=generator))]


def _draw_names(true: int, present: list[int], generator: torch.Generator) -> list[int]:
    """A class and others that are shown, in any order."""
    most = MOST_NAMES[int(torch.randint(len(MOST_NAMES), (), generator=generator))]
    others = [c for c in present if c != true]
    drawn = [others[i] for i in torch.randperm(len(others), generator=generator).tolist()][: most - 1]
    named = [true, *drawn]
    return [named[i] for i in torch.randperm(len(named), generator=generator).tolist()]


def _shown(label_map: Tensor | None, index: int, grid: torch.Size) -> Tensor:
    """Share of each latent cell that shows a class, (h, w); all of each where there is no map, none of class -1."""
    if index < 0:
        return torch.zeros(grid)
    return torch.ones(grid) if label_map is None else class_regions(label_map, [index], grid)[0]
