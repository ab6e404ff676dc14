"""One decision a region: the likelihood update's errors averaged over superpixels of the image, in place of boxes.

Shapes: H W image size.
"""

import math

from torch import Tensor

from mmseg_g4seg.ops.superpixels import superpixels
from mmseg_g4seg.registry import NUMBER, expect_option, register


@register
class Superpixels:
    """Regions of like colour. Where they end at the borders of things, no error of a neighbour is mixed in."""

    def __init__(self, *, cells: float = 3.0, compactness: float = 20.0) -> None:
        """Args:
            cells: side of a region, about, in latent cells.
            compactness: difference in colour, of 255, that weighs as much as one side; higher makes squares.

        Raises:
            ValueError: if a number is out of range.
        """
        above, least = 'a finite number above 0', 'a finite number of at least 1'
        self.cells = expect_option('cells', cells, NUMBER, least, holds=lambda v: 1 <= v < math.inf)
        self.compactness = expect_option('compactness', compactness, NUMBER, above, holds=lambda v: 0 < v < math.inf)

    def __call__(self, image: Tensor, cells: int) -> Tensor:
        """Cuts an image into regions.

        Args:
            image: (3, H, W) float RGB in [0, 1].
            cells: number of the latent cells that cover it.

        Returns:
            (H, W) int64 numbers of regions.
        """
        side = self.cells * math.sqrt(image[0].numel() / cells)
        return superpixels(image, side, self.compactness)
