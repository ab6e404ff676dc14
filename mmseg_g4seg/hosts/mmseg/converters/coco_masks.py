"""The segmentations of COCO's annotations as masks, by pycocotools.

Shapes: H W image size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

FARTHEST = 2
"""How many sides of the image a polygon's points may lie from its corner; the decoder walks along every edge."""


def decode_segmentation(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Decodes polygons, uncompressed RLE (a list of counts) or compressed RLE (a string).

    Args:
        segmentation: `[[x0, y0, x1, y1, ...], ...]` in pixels, or `{'size': [H, W], 'counts': ...}`.
        size: (H, W) of the image.

    Returns:
        (H, W) bool; the union of several polygons.

    Raises:
        ValueError: if it is damaged, or of another size.
        ImportError: if pycocotools is not installed.
    """
    try:
        from pycocotools import mask as coco_mask
    except ImportError as error:
        raise ImportError("COCO's masks need pycocotools: pip install 'mmseg_g4seg[coco]'") from error
    if isinstance(segmentation, dict):
        return coco_mask.decode(_check_rle(segmentation, size, coco_mask)).astype(bool)
    _check_polygons(segmentation, size)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))).astype(bool)


def _check_polygons(polygons: Any, size: tuple[int, int]) -> None:
    # four numbers would be read as a box, and fewer as nothing
    if not isinstance(polygons, list) or not polygons:
        raise ValueError(f'expected polygons or RLE, got {type(polygons).__name__} {str(polygons)[:40]}')
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f'expected a polygon of three points or more, x and y in turn, got {str(polygon)[:60]}')
        for i, coordinate in enumerate(polygon):
            _check_coordinate('xy'[i % 2], coordinate, FARTHEST * size[1 - i % 2])


def _check_coordinate(axis: str, coordinate: Any, limit: int) -> None:
    # nothing compares with NaN
    if type(coordinate) not in (int, float) or not abs(coordinate) <= limit:
        raise ValueError(f'expected a polygon with {axis} from {-limit} to {limit}, got {str(coordinate)[:40]}')


def _check_rle(rle: dict[str, Any], size: tuple[int, int], coco_mask: Any) -> dict[str, Any]:
    """A compressed RLE that fits; its counts are checked, since the decoder trusts them."""
    if list(rle.get('size', ())) != list(size):
        raise ValueError(f'expected an RLE of size {list(size)}, got {rle.get("size")}')
    counts = rle.get('counts')
    if isinstance(counts, str | bytes):
        compressed = dict(rle, counts=counts.encode() if isinstance(counts, str) else counts)
        total = sum(_unpack_counts(compressed['counts']))
    elif isinstance(counts, list) and all(isinstance(c, int) and c >= 0 for c in counts):
        compressed, total = coco_mask.frPyObjects(rle, *size), sum(counts)
    else:
        raise ValueError(f'expected counts as a list or a string, got {type(counts).__name__}')
    if total != size[0] * size[1]:
        raise ValueError(f'expected an RLE of {size[0] * size[1]} pixels, got one of {total}')
    return compressed


def _unpack_counts(text: bytes) -> Sequence[int]:
    """Run lengths of a compressed RLE: six-bit groups from 48 up, the sixth says that more follow.

    From the third on a run is stored as its difference from the one two before (COCO API, maskApi.c).
    """
    runs: list[int] = []
    value = shift = 0
    for byte in text:
        group = byte - 48
        if not 0 <= group < 64:
            raise ValueError(f'expected an RLE of letters from "0" to "o", got byte {byte}')
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift or any(run < 0 for run in runs):
        raise ValueError('RLE is cut short or damaged')
    return runs
