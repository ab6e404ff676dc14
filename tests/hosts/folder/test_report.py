"""What a run says of its masks: table, report, page."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.hosts.folder.report import make_table
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.ops.boundary import boundary_areas
from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import (
    CLASSES,
    PAMR,
    contents,
    labels_of,
    make_task,
    read_report,
    write_labels,
)


def iou_by_hand(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    predicted, truth = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
    predicted, truth = predicted[truth != 255], truth[truth != 255]
    return [
        100 * ((predicted == c) & (truth == c)).sum() / ((predicted == c) | (truth == c)).sum()
        for c in range(len(CLASSES))
    ]


class TestReport:
    def test_table_and_report_by_hand(self, tmp_path):
        truth = write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels')
        refine_folder(task)
        coarse = [labels_of(task.masks / f'image_{i}.png') for i in range(3)]
        refined = [labels_of(task.out / f'image_{i}.png') for i in range(3)]
        before, after = (iou_by_hand(list(zip(side, truth, strict=True))) for side in (coarse, refined))
        rows = [line.split() for line in (task.out / 'table.txt').read_text().splitlines()]
        for c, name in enumerate(CLASSES.names):
            counts = [sum(int((labels == c).sum()) for labels in side) for side in (coarse, refined)]
            assert rows[c + 1] == [
                name,
                *map(str, counts),
                f'{100 * (counts[1] / counts[0] - 1):+.2f}',
                f'{before[c]:.2f}',
                f'{after[c]:.2f}',
                f'{after[c] - before[c]:+.2f}',
            ]
        mean = [np.mean(before), np.mean(after)]
        assert rows[5][-3:] == [f'{mean[0]:.2f}', f'{mean[1]:.2f}', f'{mean[1] - mean[0]:+.2f}']
        report = read_report(task.out)
        assert [record['name'] for record in report['images']] == ['image_0', 'image_1', 'image_2']
        for record, labels, old in zip(report['images'], refined, coarse, strict=True):
            assert record['pixels'] == labels.size
            assert record['changed'] == (labels != old).sum()
            for stage, side in (('coarse', old), ('refined', labels)):
                pixels = dict(zip(record['classes'], record['class_pixels'][stage], strict=True))
                assert [pixels.get(c, 0) for c in range(4)] == np.bincount(side.ravel(), minlength=4).tolist()

    def test_gain_and_boundaries_by_hand(self, tmp_path):
        """Of each image and of all, as the evaluation of mmseg says it, too."""
        truth = write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels')
        table = refine_folder(task)['table']
        masks = [
            [labels_of(folder / f'image_{i}.png') for i in range(3)] for folder in (task.masks, task.out)
        ]  # before, after
        per_image = [[np.nanmean(iou_by_hand([pair])) for pair in zip(side, truth, strict=True)] for side in masks]
        changes = [after - before for before, after in zip(*per_image, strict=True)]
        better, worse = (sum(sign * change > 0 for change in changes) for sign in (1, -1))
        assert better + worse > 0
        assert f'3 images: {better} better, {worse} worse, {3 - better - worse} the same' in table
        means = [np.mean(iou_by_hand(list(zip(side, truth, strict=True)))) for side in masks]
        assert f'mIoU gain {means[1] - means[0]:+.2f}, 95 % interval over images [' in table
        borders = []
        for side in masks:
            pairs = zip(map(torch.from_numpy, side), map(torch.from_numpy, truth), strict=True)
            inside, predicted, labelled = sum(boundary_areas(a, b.long(), 4) for a, b in pairs).double()
            borders.append(float((inside / (predicted + labelled - inside)).mean() * 100))
        (row,) = (line.strip('|').split('|') for line in table.splitlines() if line.startswith('| mBIoU'))
        assert [cell.strip() for cell in row[1:]] == [*(f'{b:.2f}' for b in borders), f'{borders[1] - borders[0]:+.2f}']
        assert f'mBIoU gain {borders[1] - borders[0]:+.2f}, 95 % interval over images [' in table
        assert 'gain' not in refine_folder(replace(task, truth=None, out=tmp_path / 'other'))['table']

    def test_the_stages_of_a_chain(self, tmp_path):
        """As mmseg's report has them: the first refiner's masks are those of a run of it alone."""
        write_labels(tmp_path / 'labels')
        truth = {'truth': tmp_path / 'labels'}
        alone = refine_folder(make_task(tmp_path, **truth))
        chain = dict(type='SequentialRefiner', refiners=[PAMR, PAMR])
        both = refine_folder(make_task(tmp_path, refiner=chain, out=tmp_path / 'both', **truth))
        for first, record in zip(alone['images'], both['images'], strict=True):
            assert record['stages'] == ['coarse', 'PAMR', 'refined']
            assert record['areas']['PAMR'] == first['areas']['refined']
            assert record['areas']['refined'] != first['areas']['refined']
            assert record['seconds'].keys() == {'PAMR', 'PAMR #2'}
        assert re.search(r'^\| mean +\| +coarse \| +PAMR \| +refined \|', both['table'], re.MULTILINE)
        seconds = r'^seconds per image: [\d.]+ refiner \([\d.]+ PAMR, [\d.]+ PAMR #2\)$'
        assert re.search(seconds, both['table'], re.MULTILINE)

    def test_records_of_an_earlier_version_are_refused(self, tmp_path):
        task = make_task(tmp_path)
        report = refine_folder(task)
        old = [{'name': image['name'], 'pixels': 1, 'changed': 0, 'before': [1]} for image in report['images']]
        with pytest.raises(ValueError, match='not of this version; start the run anew'):
            make_table({**report, 'images': old}, CLASSES.names)

    def test_page_with_the_pictures_of_its_files(self, tmp_path):
        write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels', input_format='npz')
        refine_folder(task, workers=1)
        assert {'metrics.json', 'report.html', 'report_data.json'} <= set(contents(task.out))
        images = json.loads((task.out / 'metrics.json').read_text())['images']
        data = json.loads((task.out / 'report_data.json').read_text())
        changed = {image['name']: image for image in images if image['coarse'] != image['refined']}
        assert changed.keys() == {picture['name'] for picture in data['pictures']} != set()
        for picture in data['pictures']:
            assert picture['after'] == pytest.approx(changed[picture['name']]['refined'])
            assert picture['photo']
        assert 'PAMRRefiner' in data['notes']['settings']['Settings']

    def test_masks_for_fiftyone(self, tmp_path):
        truth = write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels', fiftyone=tmp_path / 'fiftyone')
        refine_folder(task)
        images = json.loads((tmp_path / 'fiftyone/data.json').read_text())
        assert images == {f'image_{i}': str(task.images / f'image_{i}.png') for i in range(3)}
        for i, labels in enumerate(truth):
            values = {field: labels_of(tmp_path / f'fiftyone/{field}/image_{i}.png') for field in ('refined', 'truth')}
            assert (values['refined'] == labels_of(task.out / f'image_{i}.png') + 1).all()
            assert (values['truth'] == np.where(labels == 255, 0, labels.astype(int) + 1)).all()
        with pytest.raises(ValueError, match='fiftyone: expected labels'):
            replace(task, truth=None)

    def test_page_without_the_picture_of_a_file_that_is_gone(self, tmp_path):
        write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels')
        refine_folder(task)
        (task.images / 'image_0.png').unlink()
        refine_folder(task)
        drawn = json.loads((task.out / 'report_data.json').read_text())['pictures']
        assert {picture['name'] for picture in drawn} == {'image_1', 'image_2'}

    def test_a_class_of_the_truth_alone_has_its_row(self, tmp_path):
        write_labels(tmp_path / 'labels', 1)
        task = make_task(tmp_path, count=1, truth=tmp_path / 'labels', classes=ClassList([*CLASSES, 'fish']))
        truth = labels_of(tmp_path / 'labels' / 'image_0.png')
        truth[5, 5] = 4
        Image.fromarray(truth.astype(np.uint8)).save(tmp_path / 'labels' / 'image_0.png')
        table = refine_folder(task)['table'].splitlines()
        assert table[5].split() == ['fish', '0', '0', '-', '0.00', '0.00', '+0.00']
        assert 'fish' not in refine_folder(replace(task, truth=None, out=tmp_path / 'other'))['table']
