"""Mean-field inference of a dense CRF (Kraehenbuehl and Koltun, arXiv 1210.5644) on one image, by pydensecrf.

Shapes: K classes, h w image size.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from mmseg_g4seg.registry import NUMBER, expect_option

LARGEST = 1e6
"""Beyond it float32 energies overflow, and marginals are NaN."""
LATTICE_SIDE = 32767
"""pydensecrf keeps the places of its lattice in 16 bits; kernels so narrow that there are more wrap around, and the
narrowest (a deviation of 1e-8) end the process."""


@dataclass(frozen=True)
class CRFParameters:
    """Potentials under the names that the literature gives them.

    Attributes:
        iterations: mean-field steps.
        gaussian_sxy: deviation of the smoothness kernel, pixels.
        gaussian_compat: its weight.
        bilateral_sxy: deviation of the appearance kernel in place, pixels.
        bilateral_srgb: its deviation in colour, of 255.
        bilateral_compat: its weight.
    """

    iterations: int = 10
    gaussian_sxy: float = 1.0
    gaussian_compat: float = 3.0
    bilateral_sxy: float = 67.0
    bilateral_srgb: float = 3.0
    bilateral_compat: float = 4.0

    def __post_init__(self) -> None:
        expect_option('iterations', self.iterations, int, 'an integer')
        for name, value in vars(self).items():
            expect_option(name, value, NUMBER, 'a positive number')
            if not 0 <= value <= LARGEST or (name.endswith(('sxy', 'srgb')) and value == 0):  # NaN is neither
                raise ValueError(f'{name}: expected a positive number of at most {LARGEST:g}, got {value}')

    def check_fits(self, size: Sequence[int], scale: float) -> None:
        """Raises ValueError where a kernel is too narrow for an image: pydensecrf would read beyond its own lattice.

        Args:
            size: (height, width) that inference runs at.
            scale: of it to the pixels that deviations are meant for.
        """
        side = max(size)
        for name, dimensions, extent, unit in (
            ('gaussian_sxy', 2, side, scale),
            ('bilateral_sxy', 5, side, scale),
            ('bilateral_srgb', 5, 255, 1.0),
        ):
            least = (dimensions + 1) * extent / LATTICE_SIDE / unit
            if getattr(self, name) < least:
                raise ValueError(
                    f'{name}: expected at least {least:.3g} for an image of {size[0]} x {size[1]}, '
                    f'got {getattr(self, name):g}'
                )


PIXEL_BYTES, CLASS_BYTES = 500, 92
"""What pydensecrf takes a pixel, and a pixel and class more, most of it for its lattice: 626 to 650 bytes were measured
with 2 classes, 1284 to 1381 with 10."""
MARGIN = 2.0
"""What a tile sees around itself, in deviations of the widest kernel: beyond, a neighbour weighs 1 % of one beside."""


def dense_crf(
    pixels: np.ndarray,
    probs: np.ndarray,
    parameters: CRFParameters,
    scale: float = 1.0,
    memory_limit: int = 2**33,
) -> np.ndarray:
    """Mean-field inference on one image.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        probs: (K, h, w) float32, sums to 1.
        parameters: the potentials.
        scale: of the pixels to those that the deviations are meant for.
        memory_limit: most bytes that the lattice may take. A larger image goes through in overlapping tiles: the same
            result but for what is more than `MARGIN` away, which mean-field steps would carry on.

    Returns:
        (K, h, w) float32 marginals.

    Raises:
        ImportError: if pydensecrf is missing.
        ValueError: if a kernel is too narrow for the image.
    """
    count, height, width = probs.shape
    parameters.check_fits((height, width), scale)
    most = memory_limit // (PIXEL_BYTES + CLASS_BYTES * count)
    if height * width <= most:
        return _infer(pixels, probs, parameters, scale)
    marginals = np.empty_like(probs)
    margin = math.ceil(MARGIN * scale * max(parameters.gaussian_sxy, parameters.bilateral_sxy))
    for own, seen in _tiles((height, width), most, margin):
        corner = (seen[0].start, seen[1].start)
        tile = _infer(pixels[seen], probs[:, seen[0], seen[1]], parameters, scale, corner)
        rows, cols = (slice(o.start - first, o.stop - first) for o, first in zip(own, corner, strict=True))
        marginals[:, own[0], own[1]] = tile[:, rows, cols]
    return marginals


def _tiles(size: tuple[int, int], most: int, margin: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Rows and columns of each tile of an image (h, w), and those that it sees: about `most` pixels."""
    # where margins alone take the memory, a tile of their width: a narrower one would cost much time for little
    side = max(math.isqrt(most) - 2 * margin, margin, 1)
    for rows, cols in product(*(_cuts(length, side) for length in size)):
        seen = [
            slice(max(0, o.start - margin), min(o.stop + margin, n)) for o, n in zip((rows, cols), size, strict=True)
        ]
        yield (rows, cols), (seen[0], seen[1])


def _cuts(length: int, side: int) -> list[slice]:
    """Spans of about equal length, at most `side`, that cover 0 to `length`."""
    count = -(-length // side)
    edges = [round(i * length / count) for i in range(count + 1)]
    return [slice(low, high) for low, high in pairwise(edges)]


def _infer(
    pixels: np.ndarray, probs: np.ndarray, parameters: CRFParameters, scale: float, corner: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """`dense_crf` in one piece: (h, w, 3) uint8, (K, h, w) float32 -> (K, h, w) float32.

    Args:
        pixels: of the piece.
        probs: likewise.
        parameters: the potentials.
        scale: see `dense_crf`.
        corner: (y, x) of the piece in its image.
    """
    try:
        from pydensecrf import densecrf
        from pydensecrf.utils import unary_from_softmax
    except ImportError as error:
        raise ImportError('dense CRF needs pydensecrf2: pip install "mmseg_g4seg[crf]"') from error
    count, height, width = probs.shape
    field = densecrf.DenseCRF2D(width, height, count)
    field.setUnaryEnergy(np.ascontiguousarray(unary_from_softmax(probs)))
    # places in the image, not in the piece: another lattice would round otherwise, and change labels everywhere
    places = np.indices((height, width), np.float32)[::-1]  # (2, h, w), x before y
    places = places + np.array(corner[::-1], np.float32)[:, None, None]
    smooth = places / np.float32(parameters.gaussian_sxy * scale)
    near = places / np.float32(parameters.bilateral_sxy * scale)
    alike = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(parameters.bilateral_srgb)
    for features, compat in (
        (smooth, parameters.gaussian_compat),
        (np.concatenate([near, alike]), parameters.bilateral_compat),
    ):
        field.addPairwiseEnergy(np.ascontiguousarray(features.reshape(len(features), -1)), compat=compat)
    return np.asarray(field.inference(parameters.iterations), np.float32).reshape(count, height, width)
