"""The layout that FiftyOne's documentation gives of `ImageSegmentationDirectory`; FiftyOne itself is not needed."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.fiftyone import FiftyOneExport
from mmseg_g4seg.evaluation.records import measure_image
from tests.evaluation.examples import CLASSES, random_maps


@pytest.fixture
def exported(tmp_path):
    """Two images of a chain, one by another process, and one without a label."""
    folder, records = tmp_path / 'fiftyone', []
    exports = [FiftyOneExport(folder), FiftyOneExport(folder)]
    for i, export in enumerate([*exports, exports[0]]):
        maps, truth = random_maps(i, chain=True)
        truth = truth if i < 2 else torch.full_like(truth, 255)
        records.append(measure_image(f'{i}.jpg', maps, truth, len(CLASSES)))
        export.add(tmp_path / 'images' / f'{i}.jpg', maps, truth, len(CLASSES))
    exports[0].images.update(exports[1].images)
    report = build_report(records, CLASSES)
    exports[0].finish(report)
    return folder, report


def test_every_image_has_its_path_and_a_mask_in_every_folder(exported, tmp_path):
    folder, _ = exported
    manifest = json.loads((folder / 'data.json').read_text())
    assert manifest == {str(i): str(tmp_path / 'images' / f'{i}.jpg') for i in (0, 2, 1)}
    fields = json.loads((folder / 'dataset.json').read_text())['fields']
    assert fields == ['coarse', 'PAMR', 'refined', 'truth']
    assert sorted(path.name for path in folder.iterdir()) == sorted([*fields, 'data.json', 'dataset.json'])
    for field in fields:
        assert {path.stem for path in (folder / field).iterdir()} == set(manifest)


def test_values_are_indices_plus_one(exported):
    folder, _ = exported
    maps, truth = random_maps(0, chain=True)
    for field, labels in {**maps, 'truth': truth}.items():
        values = np.asarray(Image.open(folder / field / '0.png')).astype(int)
        known = (labels >= 0) & (labels < len(CLASSES))
        assert (values == torch.where(known, labels + 1, 0).numpy()).all()
    targets = json.loads((folder / 'dataset.json').read_text())['mask_targets']
    assert targets == {'1': 'sky', '2': 'grass', '3': 'fish', '4': 'never there'}


def test_figures_of_the_images(exported):
    folder, report = exported
    figures = json.loads((folder / 'dataset.json').read_text())['images']
    assert figures.keys() == {'0', '1'}, 'where nothing is labelled there are none'
    assert figures['1']['gain'] == report.images[1].gain
    assert math.isnan(report.images[2].gain)


def test_more_classes_than_a_byte_holds(tmp_path):
    FiftyOneExport(tmp_path).add(tmp_path / 'a.png', {}, np.array([[299, 300, -1, 0]]), 300)
    assert np.asarray(Image.open(tmp_path / 'truth/a.png')).tolist() == [[300, 0, 0, 1]]


def test_images_of_one_name_are_refused(tmp_path):
    """The second one's masks took the place of the first one's."""
    export, (maps, truth) = FiftyOneExport(tmp_path), random_maps(0)
    for _ in range(2):  # the same image twice is no other one
        export.add(tmp_path / 'a' / '1.png', maps, truth, len(CLASSES))
    with pytest.raises(ValueError, match=r'images of different names, got .*a/1\.png and .*b/1\.png'):
        export.add(tmp_path / 'b' / '1.png', maps, truth, len(CLASSES))
