import numpy as np
import pytest
import torch

from mmseg_g4seg.evaluation.areas import class_areas, class_iou, mean_iou
from mmseg_g4seg.evaluation.statistics import (
    RESAMPLES,
    bootstrap_interval,
    compare,
    compare_counts,
    gain_by_initial_iou,
)


def cases(count=40, seed=0, better=0.0):
    """Areas of random label maps, the refined ones nearer to the truth by a share of pixels."""
    generator = torch.Generator().manual_seed(seed)
    before, after = [], []
    for _ in range(count):
        truth = torch.randint(3, (20, 20), generator=generator)
        noise = torch.rand(20, 20, generator=generator)
        coarse = torch.where(noise < 0.6, truth, torch.randint(3, (20, 20), generator=generator))
        refined = torch.where((noise > 1 - better), truth, coarse)
        before.append(class_areas(coarse, truth, 4))
        after.append(class_areas(refined, truth, 4))
    return torch.stack(before), torch.stack(after)


def test_figures():
    before, after = cases(better=0.1)
    comparison = compare(before, after)
    assert comparison.before == pytest.approx(mean_iou(before.sum(0)).item() * 100)
    assert comparison.after == pytest.approx(mean_iou(after.sum(0)).item() * 100)
    assert comparison.gain == pytest.approx(comparison.after - comparison.before)
    assert comparison.interval[0] < comparison.gain < comparison.interval[1]
    assert comparison.interval[0] > 0
    assert (comparison.better, comparison.worse) == (40, 0)
    mirrored = compare(after, before)
    assert mirrored.gain == pytest.approx(-comparison.gain)
    assert (mirrored.better, mirrored.worse) == (0, 40)


def test_no_change_is_zero():
    before, _ = cases()
    comparison = compare(before, before)
    assert (comparison.gain, comparison.interval, comparison.better, comparison.worse) == (0, (0, 0), 0, 0)


def test_interval_by_plain_resampling():
    before, after = cases(better=0.05)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(40, (500, 40), generator=generator)
    gains = [(mean_iou(after[i].sum(0), [0, 1, 2]) - mean_iou(before[i].sum(0), [0, 1, 2])) * 100 for i in drawn]
    low, high = torch.quantile(torch.stack(gains), torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    assert bootstrap_interval(before, after, [0, 1, 2], resamples=500) == pytest.approx((low, high))


def test_blocks_make_the_interval_of_neighbours_that_resemble_each_other_wider():
    """Each image four times: as independent images they say twice as much as there is to know."""
    generator = torch.Generator().manual_seed(0)
    total = torch.full((40, 1, 1), 1000)
    right = 500 + torch.randint(-100, 100, (40, 1, 1), generator=generator)
    before, after = (torch.cat([r, total, total], dim=1).repeat_interleave(4, 0) for r in (total // 2, right))

    def width(**options):
        low, high = bootstrap_interval(before, after, [0], **options)
        return high - low

    assert width(block=4) == pytest.approx(2 * width(), rel=0.2)
    assert width(block=1) == width()


@pytest.mark.parametrize(('count', 'block'), [(1, 1), (6, 6), (6, 10)])
def test_one_block_has_no_interval(count, block):
    """It would be drawn each time, and bounds that are the gain itself would look like certainty."""
    before, after = cases(count, better=0.1)
    assert np.isnan(bootstrap_interval(before, after, [0], block=block)).all()
    found = compare(before, after, block=block)
    assert found.gain > 0
    assert np.isnan([*found.interval, *found.by_class[0][1:]]).all()
    counts = compare_counts(before, after, lambda areas: {'IoU': class_iou(areas)}, block=block)['IoU']
    assert np.isnan(counts.interval).all()


def test_interval_covers_the_truth_as_often_as_it_says():
    covered = 0
    gains = [compare(*cases(30, seed=s, better=0.03)) for s in range(60)]
    expected = sum(c.gain for c in gains) / len(gains)
    covered = sum(c.interval[0] <= expected <= c.interval[1] for c in gains)
    assert 50 <= covered <= 60


def test_gain_by_initial_iou():
    # one image, four classes: IoU 0.2 -> 0.3, 0.5 -> 0.5, 0.9 -> 0.8, and one without a label
    before = torch.tensor([[[2, 5, 9, 0], [6, 5, 10, 3], [6, 10, 9, 0]]])
    after = torch.tensor([[[3, 5, 8, 0], [7, 5, 9, 3], [6, 10, 9, 0]]])
    (low, n_low), (middle, n_middle), (high, n_high) = gain_by_initial_iou(before, after)
    assert (low, middle, high) == pytest.approx((10.0, 0.0, -10.0))
    assert (n_low, n_middle, n_high) == (1, 1, 1)


def test_mean_over_chosen_classes():
    before, after = cases(better=0.1)
    assert compare(before, after, [1]).before == pytest.approx(mean_iou(before.sum(0), [1]).item() * 100)


def test_other_images_are_refused():
    before, after = cases()
    with pytest.raises(ValueError, match='same images'):
        compare(before, after[:3])


def test_classes_that_a_resample_lacks_do_not_spoil_it():
    before, after = cases(6, better=0.1)
    rare = before.clone(), after.clone()
    for areas in rare:
        areas[1:, :, 2] = 0  # class 2 in one image of six
    low, high = compare(*rare, [2]).interval
    assert low == high == pytest.approx(compare(*rare, [2]).gain)
    low, high = compare(*rare).interval
    assert 0 < low < high


def test_a_class_that_nothing_labels_counts_with_nothing():
    """As in the mIoU: predicted before and not after, it is a gain, and the interval holds it."""
    before, after = cases(6, better=0.1)
    before[:, 2, 2] = after[:, 2, 2] = before[:, 0, 2] = after[:, 0, 2] = 0
    after[:, 1, 2] = 0
    comparison = compare(before, after, [0, 1, 2])
    assert comparison.interval[0] <= comparison.gain <= comparison.interval[1]
    without = compare(before, after, [0, 1])
    assert comparison.after == pytest.approx(without.after)
    assert comparison.before == pytest.approx(without.before * 2 / 3)


def test_gain_of_each_class_with_its_interval_by_plain_resampling():
    before, after = cases(better=0.05)
    before, after = (torch.cat([areas, torch.zeros(40, 3, 1, dtype=torch.long)], dim=2) for areas in (before, after))
    found = compare(before, after, [0, 2, 4]).by_class
    assert len(found) == 5
    assert all(np.isnan(found[c]).all() for c in (1, 3, 4)), 'not counted; predicted alone; not there at all'
    drawn = torch.randint(40, (RESAMPLES, 40), generator=torch.Generator().manual_seed(0))
    gains = class_iou(after[drawn].sum(1)) - class_iou(before[drawn].sum(1))
    for c in (0, 2):
        gain = 100 * (class_iou(after.sum(0)) - class_iou(before.sum(0)))[c].item()
        bounds = torch.quantile(gains[:, c], torch.tensor([0.025, 0.975], dtype=torch.float64)) * 100
        assert found[c] == pytest.approx((gain, *bounds.tolist()))


@pytest.mark.parametrize(('labelled', 'known'), [(0, False), (1, False), (2, True)])
def test_a_class_of_one_image_has_no_interval(labelled, known):
    """Every resample that has the image would say the same: bounds that are the gain itself look like certainty."""
    before, after = cases(count=8, better=0.5)
    before[labelled:, :, 2], after[labelled:, :, 2] = 0, 0
    counts = compare_counts(before, after, lambda areas: {'IoU': class_iou(areas)})['IoU']
    for gain, low, high in (compare(before, after).by_class[2], counts.by_class[2]):
        assert np.isfinite(gain) == (labelled > 0)
        assert np.isfinite([low, high]).all() == known
        assert not known or low < high
