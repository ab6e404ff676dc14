import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmseg_g4seg.evaluation.areas import class_iou, mean_iou
from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.records import BOUNDARIES, COARSE, REFINED, dense_areas, dense_pixels, measure_image
from mmseg_g4seg.evaluation.statistics import compare
from tests.evaluation.examples import CLASSES, make_records, random_maps


def same(found, expected):
    """Comparisons, NaN where both have it."""
    assert str(found) == str(expected)


def test_figures_by_hand():
    records = make_records(chain=True)
    report = build_report(records, CLASSES)
    assert list(report.per_class) == list(report.class_pixels) == [COARSE, 'PAMR', REFINED]
    before = dense_areas(records, 0, 4)
    for i, stage in enumerate(report.per_class):
        areas, borders = dense_areas(records, i, 4), dense_areas(records, i, 4, kind=BOUNDARIES)
        total, truth = areas.sum(dim=0), before.sum(dim=0)[2]
        np.testing.assert_array_equal(report.per_class[stage]['IoU'], class_iou(total))
        np.testing.assert_array_equal(report.per_class[stage]['Acc'], total[0] / truth.double())
        np.testing.assert_array_equal(report.per_class[stage]['BIoU'], class_iou(borders.sum(dim=0)))
        assert report.means[stage]['aAcc'] == pytest.approx(float(total[0].sum() / truth.sum()) * 100)
        assert report.means[stage]['mIoU'] == pytest.approx(float(mean_iou(total)) * 100)
        assert [image.mean_iou[stage] for image in report.images] == (mean_iou(areas) * 100).tolist()
        if stage != COARSE:
            same(report.gains[stage], compare(before, areas))
            same(report.boundary_gains[stage], compare(dense_areas(records, 0, 4, kind=BOUNDARIES), borders))
    assert report.gain is report.gains[REFINED]
    assert list(report.class_pixels[COARSE]) == list(dense_pixels(records, 0, 4).sum(dim=0))
    assert report.boundary_gain is report.boundary_gains[REFINED]
    assert report.seconds == {'coarse': 0.5, 'PAMR': 0.25, 'CRF': 1.5, 'refine': 1.75}


def test_classes_that_count():
    """Given, others have no figure; not given, a class that is predicted alone has its 0, outside the means."""
    records = make_records()
    maps, truth = random_maps(9)
    maps[REFINED][0] = 3
    records.append(measure_image('9.png', maps, truth, 4, seconds=records[0].seconds))
    report = build_report(records, CLASSES)
    assert report.mean_classes == [0, 1, 2]
    assert report.per_class[REFINED]['IoU'][3] == 0
    assert (
        report.means[REFINED]['mIoU']
        == report.gain.after
        == pytest.approx(report.per_class[REFINED]['IoU'][:3].mean() * 100)
    )
    everything = build_report(records, CLASSES, classes=range(4))
    assert everything.means[REFINED]['mIoU'] == pytest.approx(report.gain.after * 3 / 4)
    one = build_report(records, CLASSES, classes=[2])
    assert np.isnan(one.per_class[REFINED]['IoU']).tolist() == [True, True, False, True]
    assert one.means[REFINED]['mIoU'] == one.gain.after == pytest.approx(report.per_class[REFINED]['IoU'][2] * 100)


def test_images_that_changed():
    maps, truth = random_maps(0)
    worse = {COARSE: maps[REFINED], REFINED: maps[COARSE]}
    nothing = torch.full_like(truth, 255)
    records = [
        measure_image(name, masks, labels, 4)
        for name, masks, labels in (
            ('better', maps, truth),
            ('worse', worse, truth),
            ('same', {COARSE: truth, REFINED: truth}, truth),
            ('unlabelled', maps, nothing),
            *((f'better {i}', maps, truth) for i in range(6)),
        )
    ]
    report = build_report(records, CLASSES)
    assert report.changes == {'images_better': 7, 'images_worse': 1, 'images_same': 2}
    listed = {title: [image.name for image in images] for title, images in report.largest_changes.items()}
    assert listed == {'gained_most': ['better', *(f'better {i}' for i in range(4))], 'lost_most': ['worse']}
    assert math.isnan(report.images[3].gain)
    changed = int((maps[COARSE] != maps[REFINED]).sum())
    assert [(image.changed, image.pixels) for image in report.images[:3]] == [(changed, 2400)] * 2 + [(0, 2400)]


def test_largest_changes_come_first():
    records = make_records(7)
    gains = {record.name: float(mean_iou(record.areas[1, 0]) - mean_iou(record.areas[0, 0])) for record in records}
    assert len(set(gains.values())) == 7
    changes = build_report(records, CLASSES).largest_changes
    assert [image.name for image in changes['gained_most']] == sorted(gains, key=gains.get)[:-6:-1]
    turned = [replace(record, areas=record.areas.flip(0)) for record in records]
    changes = build_report(turned, CLASSES).largest_changes
    assert [image.name for image in changes['lost_most']] == sorted(gains, key=gains.get)[:-6:-1]


def test_against_another_run():
    records, others = make_records(), make_records(chain=True)
    for other in others:  # whose last stage is another mask
        other.areas[-1], other.class_pixels[-1] = other.areas[1], other.class_pixels[1]
    report = build_report(records, CLASSES, against=others)
    same(report.gain, compare(dense_areas(others, 1, 4), dense_areas(records, -1, 4)))
    assert report.images[0].mean_iou[COARSE] == float(mean_iou(dense_areas(others, 1, 4)[0]) * 100)
    assert report.images[0].changed is None
    assert torch.equal(report.class_pixels[COARSE], dense_pixels(others, -1, 4).sum(dim=0))


def test_neighbours_together():
    records = make_records(6)
    assert np.isnan(build_report(records, CLASSES, block=6).gain.interval).all(), 'all are drawn together, each time'
    low, high = build_report(records, CLASSES).gain.interval
    assert low < high


def test_without_a_truth():
    report = build_report(make_records(labelled=False), CLASSES)
    assert report.gain is report.boundary_gain is None
    assert report.per_class == report.means == report.changes == {}
    assert report.largest_changes == {'gained_most': [], 'lost_most': []}
    assert sum(report.class_pixels[REFINED]).item() == 4 * 2400
    assert report.labelled.tolist() == [0] * 4


@pytest.mark.parametrize('records', [[], make_records(2, labelled=False)])
def test_without_images_or_truth_there_is_no_gain(records):
    report = build_report(records, CLASSES)
    assert report.gains == report.boundary_gains == {}
    assert len(report.images) == len(records)


def test_a_truth_without_labels():
    maps, truth = random_maps(0)
    report = build_report([measure_image('a', maps, torch.full_like(truth, 255), 4)], CLASSES)
    assert math.isnan(report.gain.gain)
    assert report.changes == {'images_better': 0, 'images_worse': 0, 'images_same': 1}


def test_figures_of_the_host():
    """A host measures classes its own way; its first figure leads."""
    report = build_report(
        make_records(),
        CLASSES,
        figures=lambda areas: {'aAcc': 0.5, 'Dice': areas[0] * 0.0},
        boundary_iou=lambda areas: areas[0] * 0.0 + 1,
    )
    assert report.shown_figures == ['Dice', 'BIoU']
    assert report.means[REFINED] == {'aAcc': 50, 'mDice': 0, 'mBIoU': 100}
