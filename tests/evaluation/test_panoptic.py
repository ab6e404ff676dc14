import csv
import io
import json

import pytest
import torch

from mmseg_g4seg.evaluation.files import write_report
from mmseg_g4seg.evaluation.json_csv import as_json, classes_csv, images_csv
from mmseg_g4seg.evaluation.panoptic import PanopticRecord, build_panoptic_report, measure_panoptic
from mmseg_g4seg.evaluation.panoptic_quality import mean_pq, panoptic_quality
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.table import as_text

NAMES = ['ball', 'sky', 'never there']
SEGMENTS = [dict(id=1, category_id=0), dict(id=2, category_id=0), dict(id=3, category_id=1)]


def make_record(seed: int) -> PanopticRecord:
    """Two balls before the sky; the coarse map is shifted by up to six pixels, the refined one by one."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.full((20, 30), 3)
    truth[5:15, 3:12], truth[5:15, 18:28] = 1, 2
    shift = int(torch.randint(2, 7, (), generator=generator))
    stages = {COARSE: (truth.roll(shift, 1), SEGMENTS), REFINED: (truth.roll(1, 1), SEGMENTS)}
    return measure_panoptic(f'{seed}.png', stages, (truth, SEGMENTS), 3, seconds={'coarse': 0.5, 'CRF': 0.25})


@pytest.fixture(scope='module')
def report():
    return build_panoptic_report([make_record(i) for i in range(6)], NAMES, things=[0])


def test_figures_are_those_of_the_summed_counts(report):
    records = [make_record(i) for i in range(6)]
    total = torch.stack([r.counts[1] for r in records]).sum(dim=0)
    assert report.means[REFINED]['PQ'] == pytest.approx(float(mean_pq(total)) * 100)
    assert report.means[REFINED]['PQ things'] == pytest.approx(float(panoptic_quality(total)['PQ'][0]) * 100)
    assert report.means[REFINED]['PQ stuff'] == pytest.approx(float(panoptic_quality(total)['PQ'][1]) * 100)
    assert report.gain.gain == pytest.approx(report.means[REFINED]['PQ'] - report.means[COARSE]['PQ'])
    low, high = report.gain.interval
    assert 0 < low < report.gain.gain < high
    assert (report.gain.better, report.gain.worse) == (6, 0)


def test_the_renderers_of_miou_show_it(report, tmp_path):
    text = as_text(report)
    assert 'PQ gain +' in text
    assert ', PQ of the image:' in text
    assert 'IoU' not in text
    content = json.loads(as_json(report))
    assert content['gain']['PQ'] == round(report.gain.gain, 2)
    assert set(content['refined']) == {'PQ', 'SQ', 'RQ', *(f'{n} {g}' for n in ('PQ', 'SQ', 'RQ')
                                                          for g in ('things', 'stuff')), 'classes'}  # fmt: skip
    assert content['refined']['classes']['PQ']['never there'] is None
    rows = list(csv.DictReader(io.StringIO(classes_csv(report))))
    assert float(rows[0]['refined_PQ']) == round(float(report.per_class[REFINED]['PQ'][0]) * 100, 2)
    assert len(images_csv(report).splitlines()) == 7
    write_report(report, tmp_path)
    assert (tmp_path / 'table.txt').read_text() == text + '\n'


def test_records_travel_as_json():
    record = make_record(0)
    again = PanopticRecord.from_dict(json.loads(json.dumps(record.as_dict(), sort_keys=True)))
    assert again.stages == record.stages == (COARSE, REFINED)
    assert again.counts.equal(record.counts)
    assert again.as_dict() == record.as_dict()


def test_equal_maps_gain_nothing():
    record = make_record(0)
    same = PanopticRecord('a', (COARSE, REFINED), 600, 0, record.classes, record.counts[:1].repeat(2, 1, 1))
    gain = build_panoptic_report([same, same], NAMES).gain
    assert (gain.gain, *gain.interval) == (0, 0, 0)
    assert (gain.better, gain.worse) == (0, 0)


def test_errors_name_image_and_fault():
    truth = torch.ones(2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r'a\.png: expected ids \(2, 2\)'):
        measure_panoptic('a.png', {COARSE: (truth[:1], SEGMENTS[:1])}, (truth, SEGMENTS[:1]), 3)
    with pytest.raises(ValueError, match='one image at least'):
        build_panoptic_report([], NAMES)
