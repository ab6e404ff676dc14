"""Runs one refiner over one set, image by image, and keeps each image's record.

Shapes: C classes, H W image size.

Results are lines of JSON, one an image, added as they come: a run that was cut off goes on, and a line
that was cut off is left out.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from mmseg_g4seg.evaluation.records import ImageRecord, measure_image, stage_names
from mmseg_g4seg.io.images import find_images, read_image
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.io.mask_files import make_prediction
from mmseg_g4seg.ops.masks import BORDER_WIDTH
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner
from projects.begun import check_begun

from .plan import PATHS, ImageSet, Run


def result_path(folder: Path, run: Run) -> Path:
    """Where a run's lines go; another refiner under the same name gets another file."""
    safe = ''.join(c if c.isalnum() or c in '-_=.' else '_' for c in run.name)
    return folder / run.set_name / f'{safe}-{refiner_digest(run.refiner)}.jsonl'


def refiner_digest(refiner: Mapping[str, Any]) -> str:
    """Tells a config from another one under the same name."""
    return hashlib.sha256(json.dumps(refiner, sort_keys=True, default=str).encode()).hexdigest()[:8]


def check_set(folder: Path, image_set: ImageSet) -> None:
    """Notes in `OUT/SET.json` what a set's results are of, or compares it with those that are there.

    Args:
        folder: of the experiment's results.
        image_set: of a run.

    Raises:
        ValueError: if there are results of a set of the same name with other files.
    """
    # images of one name are taken for each other: half of a table would be of other scores
    asked = {name: str(getattr(image_set, name)) for name in (*PATHS, 'format')}
    check_begun(folder / f'{image_set.name}.json', asked)


def read_results(path: Path) -> dict[str, ImageRecord]:
    """Records of a run, by image.

    Raises:
        ValueError: if they are of an earlier version.
    """
    results = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = ImageRecord.from_dict(json.loads(line))
        except json.JSONDecodeError:  # the line that a kill cut off
            continue
        results[record.name] = record
    return results


def run_images(run: Run, image_set: ImageSet, folder: Path, *, names: list[str], device: str = 'cpu') -> None:
    """Refines the images that have no line yet, and adds their lines.

    Args:
        run: what to do.
        image_set: on what.
        folder: of the experiment's results.
        names: images of the set, see `ImageSet.image_names`.
        device: to run on.

    Raises:
        ValueError: as `check_set`.
    """
    check_set(folder, image_set)
    path = result_path(folder, run)
    missing = [name for name in names if name not in read_results(path)]
    if not missing:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    refiner = build_refiner(run.refiner)
    assert isinstance(refiner, Refiner)
    refiner.to(device)
    with path.open('a') as file:
        if file.tell() and not path.read_text().endswith('\n'):
            file.write('\n')
        for name in tqdm(missing, f'{run.set_name}: {run.name}', mininterval=5):
            file.write(json.dumps(measure(name, image_set, refiner).as_dict()) + '\n')
            file.flush()


@dataclass(frozen=True)
class ImageCase:
    """One image of a set, read.

    Attributes:
        key: of its noise, the file's name.
        image: (3, H, W) float RGB in [0, 1].
        coarse: prediction, on the image's grid.
        truth: (H, W) int64 labels.
    """

    key: str
    image: torch.Tensor
    coarse: Prediction
    truth: torch.Tensor


def read_case(name: str, image_set: ImageSet) -> ImageCase:
    """Reads an image of a set by its name, with its coarse scores and its labels."""
    reader = image_set.reader()
    path = find_images(image_set.images)[name][0]
    image = read_image(path)
    mask = reader.read(image_set.scores / (name + reader.suffix))
    size = (image.shape[1], image.shape[2])
    coarse = make_prediction(mask, size, len(reader.classes), soften=BORDER_WIDTH, any_size=True)
    labels = image_set.labels / f'{name}.png'
    try:
        truth = read_index_png(labels, len(reader.classes))
    except ValueError as error:
        raise ValueError(f'{labels}: {error}') from error
    return ImageCase(path.name, image, coarse, truth)


def measure(name: str, image_set: ImageSet, refiner: Refiner) -> ImageRecord:
    """Refines one image, and counts the areas of every stage; those between the refiners keep the refiners' names."""
    case, classes = read_case(name, image_set), image_set.reader().classes.with_options(refiner.class_options)
    stages = refiner.refine_stages([case.image], [case.coarse], classes, keys=[case.key])
    masks = [case.coarse, *(stage.predictions[0] for stage in stages)]
    names = stage_names([stage.name for stage in stages])
    maps = {stage: mask.label_map for stage, mask in zip(names, masks, strict=True)}
    seconds = {stage.name: round(stage.seconds, 4) for stage in stages}
    return measure_image(name, maps, case.truth, len(classes), seconds=seconds)
