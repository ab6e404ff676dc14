"""Views of an image: overlapping crops, or windows a stride apart, in each of which a model is asked anew.

A crop shows what is in it larger, and what a model gets wrong in one view it need not get wrong in another.

Shapes: H W image size, h w a view's.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class View:
    """A crop of an image, mirrored or not.

    Attributes:
        rows: of the image.
        columns: of the image.
        mirrored: whether left and right are exchanged.
    """

    rows: slice
    columns: slice
    mirrored: bool = False

    def of(self, maps: Tensor) -> Tensor:
        """What the view shows: (..., H, W) -> (..., h, w)."""
        shown = maps[..., self.rows, self.columns]
        return shown.flip(-1) if self.mirrored else shown

    def add_to(self, maps: Tensor, shown: Tensor | float) -> None:
        """Adds (..., h, w) of the view, or a number, in place where the view lies in (..., H, W)."""
        if self.mirrored and isinstance(shown, Tensor):
            shown = shown.flip(-1)
        maps[..., self.rows, self.columns] += shown


CROP_SIDE = 0.75
"""Side of a crop, as a share of the image's: neighbours overlap by half, so that no border is seen but once."""


def crop_views(size: tuple[int, int], crops: int) -> list[View]:
    """Lays crops over an image, evenly from edge to edge.

    Args:
        size: (H, W).
        crops: along each side; 1 is the whole image.

    Returns:
        crops * crops views that cover the image; neighbours are not both mirrored.
    """
    rows, columns = (_spans(length, crops) for length in size)
    return [View(r, c, (i + j) % 2 == 1) for i, r in enumerate(rows) for j, c in enumerate(columns)]


def stride_views(size: tuple[int, int], window: int, stride: int) -> list[View]:
    """Lays windows over an image, a stride apart; the last of a row or column is moved back to the edge.

    Args:
        size: (H, W).
        window: side of a window, pixels; where the image is smaller, its own.
        stride: from one window to the next, pixels, at most a window.

    Returns:
        Views of one size that cover the image, row by row, none mirrored.
    """
    rows, columns = (_steps(length, min(window, length), stride) for length in size)
    return [View(r, c) for r in rows for c in columns]


def _steps(length: int, window: int, stride: int) -> list[slice]:
    starts = [*range(0, length - window, stride), length - window]
    return [slice(start, start + window) for start in starts]


def _spans(length: int, crops: int) -> list[slice]:
    """Spans of equal length, evenly from 0 to `length`; no pixel is left out."""
    span = min(length, max(round(CROP_SIDE * length), -(-length // crops)))
    starts = [round(i * (length - span) / max(1, crops - 1)) for i in range(crops)]
    return [slice(start, start + span) for start in starts]
