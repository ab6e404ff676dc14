"""Mask AP against COCO's own evaluation."""

import contextlib
import io

import numpy as np
import pytest
import torch

pytest.importorskip('pycocotools', reason='pycocotools is not installed')

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmseg_g4seg.evaluation import instances
from mmseg_g4seg.evaluation.instances import build_instance_report, measure_instances
from mmseg_g4seg.evaluation.mask_ap import Masks, _annotations, average_precision, match_masks
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.table import as_text

NAMES = ['ball', 'star', 'fish', 'never there']
SIDE = 24


def squares(generator, count, *, scores=False, crowds=False):
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    for mask in masks:
        y, x, h, w = (
            int(torch.randint(low, high, (), generator=generator)) for low, high in ((0, 14), (0, 14), (6, 10), (6, 10))
        )
        mask[y : y + h, x : x + w] = True
    classes = torch.randint(3, (count,), generator=generator)
    drawn = torch.rand(count, generator=generator)
    return Masks(masks, classes, drawn if scores else None, drawn < 0.2 if crowds else None)


def make_images(count):
    """Truths with crowds, coarse masks that are shifted, others that are wrong; refined ones that are less shifted."""
    images = []
    for i in range(count):
        generator = torch.Generator().manual_seed(i)
        truth = squares(generator, 3 + i % 3, crowds=True)
        extra = squares(generator, 2, scores=True)
        scores = torch.rand(len(truth.classes), generator=generator)
        shifted = [torch.cat([truth.masks.roll(by, 1), extra.masks]) for by in (2, 1)]
        classes, all_scores = torch.cat([truth.classes, extra.classes]), torch.cat([scores, extra.scores])
        images.append((truth, *(Masks(masks, classes, all_scores) for masks in shifted)))
    return images


def coco_figures(images, place):
    """AP, AP50, AP75 by pycocotools over all images at once."""
    sets = [COCO(), COCO()]
    for dataset, which in zip(sets, (0, place), strict=True):
        entries = []
        for i, masks in enumerate(images):
            own = _annotations(masks[which])
            entries += [{**entry, 'image_id': i, 'id': len(entries) + n} for n, entry in enumerate(own, start=1)]
        shown = [dict(id=i, height=SIDE, width=SIDE) for i in range(len(images))]
        dataset.dataset = dict(images=shown, annotations=entries, categories=[dict(id=c) for c in range(4)])
    with contextlib.redirect_stdout(io.StringIO()):
        for dataset in sets:
            dataset.createIndex()
        evaluation = COCOeval(*sets, 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:3] * 100


@pytest.fixture(scope='module')
def images():
    return make_images(12)


@pytest.fixture(scope='module')
def report(images):
    records = [
        measure_instances(f'{i}.png', {COARSE: coarse, REFINED: refined}, truth)
        for i, (truth, coarse, refined) in enumerate(images)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, 'RESAMPLES', 60)
        return build_instance_report(records, NAMES)


def test_figures_are_cocos(images, report):
    for place, stage in ((1, COARSE), (2, REFINED)):
        found = [report.means[stage][name] for name in ('AP', 'AP50', 'AP75')]
        assert found == pytest.approx(coco_figures(images, place).tolist(), abs=1e-6)
    assert report.means[COARSE]['AP'] < report.means[REFINED]['AP'] < 100


def test_a_resample_is_those_images_repeated(images):
    drawn = [0, 0, 3, 5, 5, 5]
    records = [match_masks(coarse, truth) for truth, coarse, _ in images]
    weights = np.bincount(drawn, minlength=len(images))[None].astype(float)
    found = [average_precision([r.get(c) for r in records], weights)[0] for c in range(4)]
    expected = coco_figures([images[i] for i in drawn], 1)
    assert 100 * np.nanmean(np.mean(found, axis=1)) == pytest.approx(expected[0], abs=1e-6)


def test_the_table_and_the_interval(report):
    low, high = report.gain.interval
    assert 0 < low < report.gain.gain < high
    assert report.gain.gain == pytest.approx(report.means[REFINED]['AP'] - report.means[COARSE]['AP'])
    text = as_text(report)
    assert '| AP50 |' in text
    assert 'AP gain +' in text
    assert 'never there' in text
    assert report.gain.better > report.gain.worse


def test_nothing_there_and_nothing_found():
    nothing = Masks(torch.zeros(0, 4, 4, dtype=torch.bool), torch.zeros(0, dtype=torch.long), torch.zeros(0))
    one = Masks(torch.ones(1, 4, 4, dtype=torch.bool), torch.zeros(1, dtype=torch.long), torch.ones(1))
    assert match_masks(nothing, nothing) == {}
    assert average_precision([match_masks(nothing, one)[0]], np.ones((1, 1))).mean() == 0
    assert np.isnan(average_precision([match_masks(one, nothing)[0]], np.ones((1, 1)))).all()
    with pytest.raises(ValueError, match='one image at least'):
        build_instance_report([], NAMES)


def test_an_image_without_true_masks_has_its_pixels():
    generator = torch.Generator().manual_seed(0)
    masks = squares(generator, 1, scores=True)
    record = measure_instances('a', {COARSE: masks, REFINED: masks}, squares(generator, 0))
    assert record.pixels == SIDE * SIDE
    assert np.isnan(record.before_after).all()
