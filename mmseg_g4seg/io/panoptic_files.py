"""COCO's panoptic format: a PNG an image whose colours are segment ids, and a JSON that says what each segment is.

Shapes: H W image size.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .label_files import open_png, png_bytes
from .storage import AnyPath

MOST_IDS = 256**3
"""Three bytes a pixel: red, then green times 256, then blue times 65,536."""


def read_panoptic_png(path: AnyPath) -> Tensor:
    """Reads segment ids: (H, W) int64, 0 in void.

    Raises:
        ValueError: if it is no PNG in RGB.
        OSError: if it cannot be read.
    """
    image = open_png(path)
    if image.mode != 'RGB':
        raise ValueError(f'expected segment ids as RGB, got mode {image.mode}')
    red, green, blue = torch.from_numpy(np.array(image)).long().unbind(dim=-1)
    return red + 256 * green + 65536 * blue


def panoptic_png(id_map: Tensor) -> bytes:
    """The content of a PNG for segment ids, (H, W) integer in [0, 16,777,216).

    Raises:
        ValueError: if an id has no colour.
    """
    ids = id_map.long().cpu()
    if ids.min() < 0 or ids.max() >= MOST_IDS:
        raise ValueError(f'expected ids from 0 to {MOST_IDS - 1}, got {int(ids.min())} to {int(ids.max())}')
    channels = torch.stack([ids % 256, ids // 256 % 256, ids // 65536], dim=-1)
    return png_bytes(Image.fromarray(channels.numpy().astype(np.uint8)))


@dataclass(frozen=True, eq=False)
class PanopticJSON:
    """A file of panoptic annotations or predictions.

    Attributes:
        path: of the file.
        content: all of it.
        annotations: by image id: `file_name` of the PNG, and `segments_info` with `id` and `category_id`.
        categories: `id`, `name` and `isthing` of each, in order; empty where a file of predictions has none.
    """

    path: Path
    content: Mapping[str, Any]
    annotations: Mapping[Any, Mapping[str, Any]]
    categories: Sequence[Mapping[str, Any]]

    def image_names(self) -> dict[Any, str]:
        """Files of the images, by image id; those that the file knows."""
        return {image['id']: image['file_name'] for image in self.content.get('images', ()) if 'file_name' in image}


def read_panoptic_json(path: Path) -> PanopticJSON:
    """Reads a file of panoptic annotations or predictions.

    Raises:
        ValueError: if it is none; says what is missing.
        OSError: if it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
        annotations = {entry['image_id']: entry for entry in content['annotations']}
        for entry in annotations.values():
            _ = entry['file_name'], [(s['id'], s['category_id']) for s in entry['segments_info']]
        categories = [{'isthing': 0, **c, 'id': c['id'], 'name': c['name']} for c in content.get('categories', ())]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: expected JSON, got {error}') from error
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{path}: expected COCO panoptic JSON: annotations of image_id, file_name and segments_info (id, '
            f'category_id each), got none of {error}'
        ) from error
    # of two runs in one file the last entry of an image would stand for both
    if len(annotations) < len(content['annotations']):
        [(image_id, count)] = Counter(entry['image_id'] for entry in content['annotations']).most_common(1)
        raise ValueError(f'{path}: expected one annotation an image, got {count} of image_id {image_id!r}')
    return PanopticJSON(path, content, annotations, categories)
