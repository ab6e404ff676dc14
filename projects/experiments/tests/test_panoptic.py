import json
from importlib import import_module

import pytest
import torch

from mmseg_g4seg.evaluation.panoptic import measure_panoptic
from mmseg_g4seg.evaluation.panoptic_quality import mean_pq
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.ops.panoptic import segment_labels
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner
from projects.demo.scenes import CLASSES
from projects.demo.scenes.folder import write_split
from projects.experiments.panoptic import calibration
from projects.experiments.panoptic.__main__ import main
from projects.experiments.panoptic.measure import CONTROL, gains
from projects.experiments.panoptic.scenes import GOOD, STUFF, WEAK, degrade, read_cases


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes')
    list(write_split(folder, 'val', 3, size=64))
    return folder


@pytest.fixture(scope='module')
def cases(scenes):
    return list(read_cases(scenes, 'val', CLASSES))


def test_objects_are_segments_of_their_own(cases):
    for case in cases:
        ids = [s['id'] for s in case.true_segments]
        assert set(case.true_map.unique().tolist()) - {0} == set(ids)
        stuff = [s['category_id'] for s in case.true_segments if CLASSES[s['category_id']] in STUFF]
        assert len(stuff) == len(set(stuff))
        assert len(ids) > len(stuff)


def test_qualities_differ_and_are_drawn_once(cases):
    quality = {}
    for drawn in (WEAK, GOOD):
        counts = []
        for case in cases:
            coarse = degrade(case, drawn, len(CLASSES))
            again = degrade(case, drawn, len(CLASSES))
            assert coarse.id_map.equal(again.id_map)
            assert coarse.masks.equal(again.masks)
            labels = segment_labels(coarse.id_map, [s['id'] for s in coarse.segments])
            assert coarse.masks.argmax(dim=0)[labels >= 0].equal(labels[labels >= 0])
            assert (labels == -1).any()
            truth = (case.true_map, case.true_segments)
            record = measure_panoptic('a', {COARSE: (coarse.id_map, coarse.segments)}, truth, len(CLASSES))
            dense = torch.zeros(4, len(CLASSES), dtype=torch.float64)
            dense[:, record.classes] = record.counts[0]
            counts.append(dense)
        quality[drawn] = float(mean_pq(sum(counts)))
    assert 0.3 < quality[WEAK] < quality[GOOD] - 0.1 < 0.9


def test_a_run_has_both_tables_and_goes_on(scenes, tmp_path, capsys):
    config = tmp_path / 'pamr.py'
    config.write_text("refiner = dict(type='PAMRRefiner', dilations=(1, 2))\n")
    command = [str(scenes), '--out', str(tmp_path / 'out'), '--refiners', str(config), '--scenes-at-most']
    main([*command, '2'])
    first = json.loads((tmp_path / 'out/weak.json').read_text())
    main([*command, '3'])
    assert json.loads((tmp_path / 'out/weak.json').read_text())[:2] == first
    rows = [line.split(' | ') for line in (tmp_path / 'out/table.md').read_text().splitlines()[2:]]
    assert [(row[0].strip('| '), row[1]) for row in rows[:2]] == [
        ('weak', CONTROL),
        ('weak', f"{config}, queries' masks"),
    ]
    assert len(rows) == 10
    assert rows[0][-1].strip(' |') == ''
    assert rows[1][-1] != rows[1][4]


def test_gains_over_the_control(cases):
    case = cases[0]
    truth = (case.true_map, case.true_segments)
    coarse = degrade(case, WEAK, len(CLASSES))
    stages = {COARSE: (coarse.id_map, coarse.segments), CONTROL: truth, REFINED: truth}
    records = [measure_panoptic(case.name, stages, truth, len(CLASSES))]
    things = [c for c, name in enumerate(CLASSES) if name not in STUFF]
    over_coarse, over_control = (gains(records, CLASSES, things, over=stage) for stage in (COARSE, CONTROL))
    assert over_coarse[REFINED].gain == over_coarse[CONTROL].gain > 0
    assert list(over_control) == [REFINED]
    assert over_control[REFINED].gain == 0


@pytest.fixture
def instances():
    pytest.importorskip('detectron2', reason='Detectron2 is not installed')
    return import_module('projects.experiments.panoptic.instances')


def test_instances_gain_what_a_refiner_gains(instances, cases):
    class Truth(Refiner):
        """Gives one object's true mask, or what it was given."""

        def __init__(self, right):
            self.right = right

        def refine_batch(self, images, predictions, classes, *, keys=None):
            true = [max((case.true_map == s['id'] for s in case.true_segments), key=lambda m, p=p: int((m & p).sum()))
                    for p in (p.label_map.bool() for p in predictions)]  # fmt: skip
            return [Prediction(p.probs, t.long()) if self.right else p for p, t in zip(predictions, true, strict=True)]

    case = cases[0]
    coarse, classes = degrade(case, WEAK, len(CLASSES)), ClassList(CLASSES)
    assert set(instances.gains(Truth(False), case, coarse, classes, 0.015)) == {0.0}
    found = instances.gains(Truth(True), case, coarse, classes, 0.015)
    objects = [s for s in coarse.segments if CLASSES[s['category_id']] not in STUFF]
    assert 1 < len(found) <= len(objects)
    assert min(found) > 0


def test_widths_are_compared(instances, scenes, capsys, tmp_path):
    config = tmp_path / 'pamr.py'
    config.write_text("refiner = dict(type='PAMRRefiner', dilations=(1, 2))\n")
    command = [str(scenes), '--split', 'val', '--scenes-at-most', '1', '--refiner', str(config)]
    instances.main([*command, '--soften', '0', '0.03'])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in lines] == [
        f'{quality} masks, soften {soften}' for quality in ('weak', 'good') for soften in (0.0, 0.03)
    ]
    assert lines[0].split(':')[1] != lines[1].split(':')[1]


def test_shares_are_calibrated_by_a_power(cases, scenes, capsys):
    case = cases[0]
    coarse = degrade(case, WEAK, len(CLASSES))
    true, largest = calibration.shares(case, coarse, 1.0)
    plain = coarse.masks / coarse.masks.sum(dim=0)
    assert largest.abs().max() == pytest.approx(float(plain.amax(dim=0)[coarse.id_map > 0].max()), abs=1e-4)
    right = largest > 0
    torch.testing.assert_close(true[right], largest[right])
    assert (true[~right] < largest[~right].abs()).all()
    nats, share = calibration.summarise([(torch.tensor([0.5, 0.25]), torch.tensor([0.75, -0.75]))])
    assert (nats, share) == (pytest.approx(1.0397, abs=1e-4), 50)
    calibration.main([str(scenes), '--split', 'val'])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(calibration.POWERS)
    assert lines[0].startswith('weak masks, power 1.0: ')
