"""Prompts for SAM from one class's coarse mask: box, points and mask of each connected part.

Shapes: H W image size, S side of the square that the model reads, m side of its mask prompt, M masks of one answer.

Coordinates are x, y in pixels, as SAM's authors have them: a pixel's index, to which the model adds a half.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.masks import resize_maps

MASK_LOGIT = 10.0
"""What stands for sure in a mask prompt: SAM was trained on its own earlier answers, which are logits."""


@dataclass(frozen=True)
class PartPrompt:
    """What is asked of one connected part of a mask, in the image's pixels.

    Attributes:
        box: left, top, right, bottom: the outermost columns and rows that the part touches.
        inside: the point of the part that is farthest from its border.
        outside: the point of the box that is farthest from the class, in its gaps; None where it has none.
        part: (H, W) bool.
    """

    box: tuple[int, int, int, int]
    inside: tuple[int, int]
    outside: tuple[int, int] | None
    part: Tensor


def find_prompts(mask: Tensor, least: float) -> list[PartPrompt]:
    """Makes a prompt of every connected part.

    Args:
        mask: (H, W) bool, of one class; pixels that touch at a corner are connected.
        least: pixels that a part needs. One noisy mask may have thousands of specks, each a pass of the decoder.

    Raises:
        ImportError: if scipy is missing.
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise ImportError('SAM needs scipy: pip install "mmseg_g4seg[sam]"') from error
    pixels = mask.cpu().numpy()
    parts, count = ndimage.label(pixels, structure=np.ones((3, 3)))
    prompts = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts, count), start=1):
        part = parts[rows, columns] == number
        if part.sum() < least:
            continue
        # a frame of what is not the part: without it a part at the image's edge would have no border there
        depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
        gaps = ~pixels[rows, columns]
        away = ndimage.distance_transform_edt(gaps) if gaps.any() else None
        prompts.append(
            PartPrompt(
                box=(columns.start, rows.start, columns.stop - 1, rows.stop - 1),
                inside=_deepest(depth, rows.start, columns.start),
                outside=None if away is None else _deepest(away, rows.start, columns.start),
                part=torch.from_numpy(parts == number).to(mask.device),
            )
        )
    return prompts


def _deepest(depth: np.ndarray, top: int, left: int) -> tuple[int, int]:
    """Place (x, y) of the greatest depth (h, w) of a crop whose first pixel is (left, top)."""
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return left + int(x), top + int(y)


@dataclass(frozen=True)
class ModelFrame:
    """Where an image lies in the square that a model reads.

    Attributes:
        size: (H, W).
        side: S.
        mask_side: m.
        keeps_ratio: SAM scales the longer side to S and pads below and to the right; SAM 2 squeezes both sides to S.
    """

    size: tuple[int, int]
    side: int
    mask_side: int
    keeps_ratio: bool

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the image in the square."""
        if not self.keeps_ratio:
            return self.side, self.side
        scale = self.side / max(self.size)
        # an image of 7 x 2000 would come out with no row at all
        return max(1, int(self.size[0] * scale + 0.5)), max(1, int(self.size[1] * scale + 0.5))

    def place(self, image: Tensor) -> Tensor:
        """(3, H, W) float -> (3, S, S), resized with averaging, 0 in the padding."""
        resized = F.interpolate(image[None], self.inner, mode='bilinear', antialias=True)[0]
        return self._pad(resized)

    def points(self, prompts: list[PartPrompt]) -> tuple[Tensor, Tensor]:
        """The points inside and outside of N parts: (N, 1, 2, 2) float32 x, y in the square, (N, 1, 2) int64 kinds."""
        # -1 is the kind of the padding that SAM was trained with, and reads no place
        places = [[p.inside, p.outside or (0, 0)] for p in prompts]
        kinds = [[1, -1 if p.outside is None else 0] for p in prompts]
        return self._scaled(torch.tensor(places))[:, None], torch.tensor(kinds)[:, None]

    def boxes(self, prompts: list[PartPrompt]) -> Tensor:
        """The boxes of N parts: (N, 1, 4) float32 left, top, right, bottom in the square."""
        corners = torch.tensor([p.box for p in prompts]).unflatten(1, (2, 2))  # (N, 2, 2)
        return self._scaled(corners).flatten(1)[:, None]

    def masks(self, prompts: list[PartPrompt]) -> Tensor:
        """The N parts as logits of the mask prompt: (N, 1, m, m) float32, by the share of each cell that they cover."""
        grid = (self.mask_side, self.mask_side)
        shares = torch.stack([resize_maps(self._pad(resize_maps(p.part.float(), self.inner)), grid) for p in prompts])
        return ((2 * shares - 1) * MASK_LOGIT)[:, None]

    def restore(self, logits: Tensor) -> Tensor:
        """Brings an answer back to the image, as its authors do: (M, m, m) float -> (M, H, W)."""
        if self.keeps_ratio:
            whole = F.interpolate(logits[None], (self.side, self.side), mode='bilinear')[0]
            logits = whole[:, : self.inner[0], : self.inner[1]]
        return F.interpolate(logits[None], self.size, mode='bilinear')[0]

    def _scaled(self, places: Tensor) -> Tensor:
        """(..., 2) x, y in the image -> float32 in the square."""
        return places.float() * torch.tensor([self.inner[1] / self.size[1], self.inner[0] / self.size[0]])

    def _pad(self, maps: Tensor) -> Tensor:
        """(..., h, w) -> (..., S, S), 0 below and to the right."""
        return F.pad(maps, (0, self.side - maps.shape[-1], 0, self.side - maps.shape[-2]))
