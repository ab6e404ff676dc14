import csv
import io
import json
from dataclasses import replace

import pytest
import torch

from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.files import write_report
from mmseg_g4seg.evaluation.json_csv import as_json, classes_csv, images_csv
from mmseg_g4seg.evaluation.records import COARSE, REFINED, measure_image
from mmseg_g4seg.evaluation.table import as_text, class_table, gain_text, pixel_table
from tests.evaluation.examples import CLASSES, make_records, random_maps

SMALL = """\
+-------------+------------+-------------+----------+-------------+--------------+-----------+
| class       | coarse IoU | refined IoU | IoU gain | coarse BIoU | refined BIoU | BIoU gain |
+-------------+------------+-------------+----------+-------------+--------------+-----------+
| sky         |      50.00 |      100.00 |   +50.00 |       50.00 |       100.00 |    +50.00 |
| grass       |       0.00 |      100.00 |  +100.00 |        0.00 |       100.00 |   +100.00 |
| fish        |          - |           - |        - |           - |            - |         - |
| never there |          - |           - |        - |           - |            - |         - |
+-------------+------------+-------------+----------+-------------+--------------+-----------+
+-------+--------+---------+--------+
| mean  | coarse | refined |   gain |
+-------+--------+---------+--------+
| aAcc  |  50.00 |  100.00 | +50.00 |
| mIoU  |  25.00 |  100.00 | +75.00 |
| mAcc  |  50.00 |  100.00 | +50.00 |
| mBIoU |  25.00 |  100.00 | +75.00 |
+-------+--------+---------+--------+
1 images: 1 better, 0 worse, 0 the same
seconds per image: 0.500 coarse model, 0.250 refiner (0.250 CRF)
mIoU gain +75.00; one image, or block of them, has no interval
mean gain of masks by initial IoU (number): +100.0 from 0-40 (1), +50.0 from 40-80 (1)
mBIoU gain +75.00; one image, or block of them, has no interval
gained most, mean IoU of the image:
  +75.00   25.00 -> 100.00  a.png
lost most, mean IoU of the image: none"""


@pytest.fixture
def small():
    """One image, half sky and half grass, that the coarse mask calls sky alone."""
    truth = torch.tensor([[0, 0, 1, 1]])
    maps = {COARSE: torch.zeros_like(truth), REFINED: truth}
    return build_report([measure_image('a.png', maps, truth, 4, seconds={'coarse': 0.5, 'CRF': 0.25})], CLASSES)


def test_text(small):
    assert as_text(small) == SMALL


def test_gains_by_initial_iou_are_those_of_the_json(small):
    """0.449 is 0.45 in both, and 0.5 in short; straight from 0.449 it would be 0.4."""
    gain = replace(small.gain, by_initial_iou=((0.449, 3), (0.0, 0), (0.0, 0)))
    report = replace(small, gains={REFINED: gain})
    assert json.loads(as_json(report))['gain']['by_initial_iou'][0]['gain'] == 0.45
    assert 'by initial IoU (number): +0.5 from 0-40 (3)\n' in gain_text(report)


def test_pixels(small):
    assert [line.split() for line in pixel_table(small).splitlines()][1:] == [
        ['sky', '4', '2', '-50.00', '50.00', '100.00', '+50.00'],
        ['grass', '0', '2', 'new', '0.00', '100.00', '+100.00'],
        ['mean', '(labelled', 'classes)', '25.00', '100.00', '+75.00'],
    ]
    unmeasured = build_report(make_records(labelled=False), CLASSES)
    header, *rows = (line.split() for line in pixel_table(unmeasured).splitlines())
    assert header == ['class', 'pixels', 'before', 'pixels', 'after', 'change', '%']
    assert [row[0] for row in rows] == ['sky', 'grass', 'fish']
    assert all(len(row) == 4 for row in rows)


def test_columns_of_wide_names_stay_in_line():
    """A Chinese character takes two columns of a terminal."""
    report = build_report(make_records(), ['天空', 'grass', '鱼', 'never there'])
    lines = class_table(report).splitlines()
    widths = {len(line) + sum(line.count(character) for character in '天空鱼') for line in lines}
    assert len(widths) == 1


def test_json_has_every_figure_and_no_nan():
    records = make_records(chain=True)
    maps, truth = random_maps(9, chain=True)
    records.append(measure_image('9.png', maps, torch.full_like(truth, 255), 4, seconds=records[0].seconds))
    report = build_report(records, CLASSES)
    text = as_json(report)
    assert 'NaN' not in text
    content = json.loads(text)
    assert list(content) == ['coarse', 'PAMR', 'refined', 'images_better', 'images_worse', 'images_same', 'gain',
                             'boundary_gain', 'gained_most', 'lost_most', 'seconds', 'images']  # fmt: skip
    for stage in (COARSE, 'PAMR', REFINED):
        assert content[stage]['mIoU'] == round(report.means[stage]['mIoU'], 2)
        for figure in ('IoU', 'Acc', 'BIoU'):
            values = content[stage]['classes'][figure]
            assert [values[name] for name in CLASSES[:3]] == [
                round(v * 100, 2) for v in report.per_class[stage][figure][:3]
            ]
            assert values['never there'] is None
    assert content['gain']['mIoU'] == round(report.gain.gain, 2)
    for kind, figure, comparison in (('gain', 'IoU', report.gain), ('boundary_gain', 'BIoU', report.boundary_gain)):
        for name, own in zip(CLASSES[:3], comparison.by_class, strict=False):
            entry = content[kind]['classes'][name]
            assert [entry[figure], *entry['interval']] == [round(value, 2) for value in own]
        assert content[kind]['classes']['never there'] == {figure: None, 'interval': [None, None]}
    assert content['gain']['interval'] == [round(bound, 2) for bound in report.gain.interval]
    labelled = sum(len(random_maps(i)[1].unique()) - 1 for i in range(4))  # less 255
    assert sum(entry['masks'] for entry in content['gain']['by_initial_iou']) == labelled
    assert content['images'][-1] == {'name': '9.png', 'coarse': None, 'PAMR': None, 'refined': None}
    assert content['images'][0] == {'name': '0.png', **report.images[0].mean_iou}


def test_csv():
    report = build_report(make_records(chain=True), CLASSES)
    classes = list(csv.DictReader(io.StringIO(classes_csv(report))))
    assert [row['class'] for row in classes] == list(CLASSES)
    assert float(classes[1]['PAMR_BIoU']) == round(report.per_class['PAMR']['BIoU'][1] * 100, 2)
    assert set(classes[3].values()) == {'never there', ''}
    images = list(csv.DictReader(io.StringIO(images_csv(report))))
    assert list(images[0]) == ['name', 'coarse', 'PAMR', 'refined', 'gain']
    assert float(images[0]['gain']) == pytest.approx(report.images[0].gain, abs=1e-4)


def test_files(tmp_path, small):
    write_report(small, tmp_path / 'out')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'classes.csv', 'images.csv', 'metrics.json', 'report.html', 'report_data.json', 'table.txt'
    ]  # fmt: skip
    assert (tmp_path / 'out/table.txt').read_text() == as_text(small) + '\n'


def test_nothing_labelled():
    maps, truth = random_maps(0)
    report = build_report([measure_image('a', maps, torch.full_like(truth, 255), 4)], CLASSES)
    assert 'mIoU gain: no labelled pixel\nmBIoU gain: no labelled pixel' in gain_text(report)
    assert json.loads(as_json(report))['gain']['interval'] == [None, None]
