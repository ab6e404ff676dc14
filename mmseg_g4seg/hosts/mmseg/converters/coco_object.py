"""COCO-Object: COCO's instance annotations as label maps of 81 classes, background first.

Ids are 1 to 80 in the order of COCO's category ids, 0 elsewhere. Where annotations overlap the one drawn last
counts: crowds are drawn first, then objects from large to small, and of two as large the one of the higher
annotation id last. So what lies on a table counts as itself, not as table. Crowds are drawn as their class and
not ignored, as in COCO-Stuff's pixel maps, from which GroupViT and its successors made theirs; those break ties
in other ways, so single pixels differ.

Shapes: H W image size.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmseg_g4seg.hosts.mmseg.datasets.coco_names import THINGS

from .batch import Job, Summary, run_jobs
from .coco_masks import decode_segmentation

SUFFIX = '_instanceTrainIds.png'


@dataclass(frozen=True)
class AnnotatedImage:
    """Attributes:
    size: (H, W).
    annotations: COCO's, with the class id 1 to 80 as `class_id`.
    """

    size: tuple[int, int]
    annotations: Sequence[dict[str, Any]]


def convert_coco_object(
    annotations: Path,
    out: Path,
    *,
    splits: tuple[str, ...] = ('train2017', 'val2017'),
    workers: int = 1,
    overwrite: bool = False,
) -> Summary:
    """Writes `OUT/{train2017,val2017}/NAME_instanceTrainIds.png`, one an image, also where nothing is annotated.

    Args:
        annotations: folder with `instances_{split}.json`.
        out: folder of the results.
        splits: which of them.
        workers: processes.
        overwrite: convert anew what is there.

    Raises:
        FileNotFoundError: if a JSON file is missing.
        ValueError: if one is not COCO's instance annotations.
        ImportError: if pycocotools is not installed.
    """
    import_check()
    total = Summary()
    for split in splits:
        jobs = read_jobs(annotations / f'instances_{split}.json', out / split)
        total.add(run_jobs(jobs, draw, description=split, workers=workers, overwrite=overwrite))
    return total


def import_check() -> None:
    """Fails at once, and once, where pycocotools is missing."""
    decode_segmentation({'size': [1, 1], 'counts': [1]}, (1, 1))


def read_jobs(path: Path, out: Path) -> list[Job]:
    """One job an image of a JSON file.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is not COCO's instance annotations.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: expected COCO's instance annotations (annotations_trainval2017)")
    try:
        content = json.loads(path.read_text())
        class_ids = class_ids_of(content['categories'])
        by_image = defaultdict(list)
        for entry in content['annotations']:
            by_image[entry['image_id']].append({**_needed(entry), 'class_id': class_ids[entry['category_id']]})
        return [
            Job(
                AnnotatedImage((image['height'], image['width']), by_image[image['id']]),
                out / (Path(image['file_name']).stem + SUFFIX),
                f'{path.name}: {image["file_name"]}',
            )
            for image in content['images']
        ]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: expected COCO's instance annotations (images, annotations, categories), got {error!r}"
        ) from error
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def class_ids_of(categories: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Class id, 1 to 80, of each of COCO's category ids, which have gaps; by name.

    Raises:
        ValueError: if the names are not COCO's 80.
    """
    names = [category['name'] for category in categories]
    missing, unknown = sorted(set(THINGS) - set(names)), sorted(set(names) - set(THINGS))
    if missing or unknown or len(names) != len(THINGS):
        raise ValueError(f"expected COCO's 80 categories; missing: {missing}, unknown: {unknown}")
    return {category['id']: 1 + THINGS.index(category['name']) for category in categories}


def draw(image: AnnotatedImage) -> np.ndarray:
    """Label map of one image: (H, W) uint8, 0 to 80.

    Raises:
        ValueError: if a segmentation is damaged; it names the annotation.
    """
    layers = []
    for entry in image.annotations:
        try:
            inside = decode_segmentation(entry['segmentation'], image.size)
        except ValueError as error:
            raise ValueError(f'annotation {entry["id"]}: {error}') from error
        layers.append((not entry['iscrowd'], -int(inside.sum()), entry['id'], entry['class_id'], inside))
    label_map = np.zeros(image.size, np.uint8)
    for *_, class_id, inside in sorted(layers, key=lambda layer: layer[:3]):
        label_map[inside] = class_id
    return label_map


def _needed(entry: dict[str, Any]) -> dict[str, Any]:
    return {'id': entry['id'], 'segmentation': entry['segmentation'], 'iscrowd': entry.get('iscrowd', 0)}
