"""What a run over saved panoptic predictions is asked to do, and the list of its work."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmseg_g4seg.hosts.folder.plan import Job
from mmseg_g4seg.io.category_names import clean_name
from mmseg_g4seg.io.images import find_images
from mmseg_g4seg.io.panoptic_files import PanopticJSON, read_panoptic_json
from mmseg_g4seg.io.storage import AnyPath
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

PREDICTIONS = 'predictions'
"""Folder of the refined PNGs in OUT, and the name of their JSON: panopticapi looks for the two beside each other."""


@dataclass(frozen=True)
class PanopticJob(Job):
    """One image's prediction.

    Attributes:
        image_id: of the JSONs.
        json_files: that say what its segments, and the true ones, are.
    """

    image_id: Any = None
    json_files: Sequence[Path] = ()

    @property
    def inputs(self) -> list[AnyPath]:
        """The files that its result and record follow from."""
        return [*super().inputs, *self.json_files]


@dataclass(frozen=True)
class SavedPanoptic:
    """Predictions in COCO's panoptic format, as Detectron2's `COCOPanopticEvaluator` writes them.

    Attributes:
        images: folder of the images, found by the JSON's `images`, or by the names of the PNGs.
        panoptic: folder of the PNGs.
        json_file: what the segments are.
        refiner: config, see `build_refiner`.
        out: folder of the results.
        labels: folder of the true PNGs, to measure against.
        labels_json: what the true segments are; together with `labels`.
        soften: how wide borders of segments are unsure, see `refine_panoptic`.
        device: that the refiner runs on.
    """

    images: Path
    panoptic: Path
    json_file: Path
    refiner: dict[str, Any]
    out: Path
    labels: Path | None = None
    labels_json: Path | None = None
    soften: float = SEGMENT_BORDER
    device: str = 'cpu'

    def __post_init__(self) -> None:
        for name, folder in (('images', self.images), ('panoptic', self.panoptic), ('labels', self.labels)):
            if folder is not None and not folder.is_dir():
                raise FileNotFoundError(f'{name}: no such folder: {folder}')
        if (self.labels is None) != (self.labels_json is None):
            raise ValueError('labels: expected the folder of PNGs and its JSON together, got one of them')
        inputs = [p.resolve() for p in (self.panoptic, self.json_file, self.labels, self.labels_json) if p is not None]
        for path in (self.results, self.results.with_suffix('.json')):
            # the refined JSON would take the place of the one that says what the coarse PNGs are
            if path.resolve() in inputs:
                raise ValueError(f'out: expected a folder of its own, got one where {path} is an input')
        if not self.categories:
            raise ValueError(
                f'{self.json_file}: expected categories (id, name, isthing) in it or in the labels, got none'
            )
        names = {category['id']: category['name'] for category in self.categories}
        for category in self.truth.categories if self.truth else ():
            # places from 0 on one side, COCO's ids on the other: cats would be counted as dogs
            if names.get(category['id']) != category['name']:
                raise ValueError(
                    f'{self.labels_json}: expected the categories of {self.json_file}, got {category["name"]!r} with '
                    f'id {category["id"]}, which is {names.get(category["id"])!r} there'
                )

    @property
    def results(self) -> Path:
        """Folder of the refined PNGs."""
        return self.out / PREDICTIONS

    @cached_property
    def predictions(self) -> PanopticJSON:
        """The predicted segments."""
        return read_panoptic_json(self.json_file)

    @cached_property
    def truth(self) -> PanopticJSON | None:
        """The true segments."""
        return None if self.labels_json is None else read_panoptic_json(self.labels_json)

    @cached_property
    def categories(self) -> Sequence[Any]:
        """Of the predictions; of the truth, where a file of predictions has none."""
        return self.predictions.categories or (self.truth.categories if self.truth else ())

    @cached_property
    def places(self) -> dict[int, int]:
        """Place of each category among the classes, by its id."""
        return {category['id']: i for i, category in enumerate(self.categories)}

    @property
    def things(self) -> list[int]:
        """Classes that are things."""
        return [i for i, category in enumerate(self.categories) if category['isthing']]

    @property
    def classes(self) -> ClassList:
        """The categories as a refiner's classes."""
        return ClassList([clean_name(c['name'], stuff=not c.get('isthing', True)) for c in self.categories])

    def jobs(self) -> list[PanopticJob]:
        """One an image.

        Raises:
            ValueError: if there is none, or two would be written to one file.
        """
        names, found = self.predictions.image_names(), find_images(self.images)
        truths = self.truth.annotations if self.truth else {}
        jsons = [path for path in (self.json_file, self.labels_json) if path is not None]
        jobs = []
        for image_id, entry in self.predictions.annotations.items():
            name = Path(entry['file_name']).name
            listed = self.images / names.get(image_id, '')
            # nested as the JSON says; else flat, under the name that it says; else that of the PNG
            stem = Path(names.get(image_id, name)).stem
            images = [listed] if listed.is_file() else found.get(stem, found.get(Path(name).stem, []))
            masks = [self.panoptic / entry['file_name']]
            true = self.labels / truths[image_id]['file_name'] if self.labels and image_id in truths else None
            options: dict[str, Any] = dict(truth=true, image_id=image_id, json_files=jsons)
            jobs.append(PanopticJob(Path(name).stem, masks, images, self.results / name, **options))
        if not jobs:
            raise ValueError(f'{self.json_file}: expected annotations, found none')
        if len({job.name for job in jobs}) < len(jobs):
            raise ValueError(f'{self.json_file}: expected PNGs of different names, found some alike')
        return jobs

    def settings(self) -> dict[str, Any]:
        """What the results follow from, as plain JSON."""
        paths = {
            'images': self.images,
            'panoptic': self.panoptic,
            'json': self.json_file,
            'labels': self.labels,
            'labels_json': self.labels_json,
        }
        settings = {
            'refiner': self.refiner,
            'soften': self.soften,
            **{name: path and str(path.resolve()) for name, path in paths.items()},
        }
        return json.loads(json.dumps(settings, default=repr))
