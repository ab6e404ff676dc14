"""Reads the segments of one image, predicted or true, with their categories as places among the classes.

Shapes: H W image size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmseg_g4seg.io.panoptic_files import read_panoptic_png
from mmseg_g4seg.io.storage import AnyPath
from mmseg_g4seg.refiners.panoptic import remaining_segments

from .saved import SavedPanoptic

Segments = Sequence[Mapping[str, Any]]


def read_prediction(task: SavedPanoptic, path: AnyPath, segments: Segments) -> tuple[Tensor, list[dict[str, Any]]]:
    """Ids (H, W) int64, and the segments that have a pixel.

    Args:
        task: whose categories count.
        path: of the PNG.
        segments: `segments_info` of the JSON.

    Raises:
        ValueError: if a category or an id is not known.
        OSError: if the file cannot be read.
    """
    unknown = sorted({s['category_id'] for s in segments} - set(task.places))
    if unknown:
        raise ValueError(f'{path.name}: expected category ids of the JSON, got {unknown}')
    id_map = read_panoptic_png(path)
    unlisted = set(id_map.unique().tolist()) - {0, *(s['id'] for s in segments)}
    if unlisted:
        raise ValueError(f'{path.name}: expected ids that segments_info lists, got {sorted(unlisted)[:8]}')
    placed = [{**s, 'category_id': task.places[s['category_id']]} for s in segments]
    return id_map, remaining_segments(id_map, placed)


def read_truth(task: SavedPanoptic, image_id: Any) -> tuple[Tensor, list[dict[str, Any]]]:
    """Likewise of the truth, whose segments may have no pixel.

    Raises:
        ValueError: if it has none of the image.
    """
    assert task.truth is not None
    assert task.labels is not None
    if image_id not in task.truth.annotations:
        raise ValueError(f'{task.truth.path.name}: expected the truth of image {image_id}, found none')
    entry = task.truth.annotations[image_id]
    segments = [{**s, 'category_id': task.places[s['category_id']]} for s in entry['segments_info']]
    return read_panoptic_png(task.labels / entry['file_name']), segments
