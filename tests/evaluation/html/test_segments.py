"""Pages of panoptic quality and of mask AP, and the pictures of segments on them."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.evaluation.files import PAGE, render_again, write_report
from mmseg_g4seg.evaluation.html.extremes import Extremes
from mmseg_g4seg.evaluation.html.notes import RunNotes
from mmseg_g4seg.evaluation.html.page import render_page
from mmseg_g4seg.evaluation.html.pictures import CHANGES, OTHER, RIGHT, WRONG
from mmseg_g4seg.evaluation.html.segments import draw_segments, paint_instances
from mmseg_g4seg.evaluation.json_csv import as_dict
from mmseg_g4seg.evaluation.mask_ap import Masks
from mmseg_g4seg.evaluation.panoptic import build_panoptic_report, measure_panoptic
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.prediction import ClassList
from tests.evaluation.html import test_page as rules
from tests.evaluation.html.parsed import ParsedPage
from tests.evaluation.html.test_page import assert_figures

CLASSES = ClassList(['sky', 'ball', 'star'], palette=[(10, 20, 200), (200, 30, 30), (240, 220, 40)])
SKY, LEFT, RIGHT_BALL = dict(id=1, category_id=0), dict(id=2, category_id=1), dict(id=3, category_id=1)
NOTES = RunNotes('segments')


def two_balls(left, right):
    """Two balls before the sky, (20, 40), at columns."""
    ids = torch.ones(20, 40, dtype=torch.long)
    ids[5:15, left : left + 10] = 2
    ids[5:15, right : right + 10] = 3
    return ids


TRUTH = two_balls(5, 25), [SKY, LEFT, RIGHT_BALL]


def make_case(shift, name='a.png', after=0):
    stages = {COARSE: (two_balls(5 + shift, 25), TRUTH[1]), REFINED: (two_balls(5 + after, 25), TRUTH[1])}
    return measure_panoptic(name, stages, TRUTH, len(CLASSES), seconds={'coarse': 0.1, 'CRF': 0.2}), stages


def pixels(picture, layer):
    return np.array(Image.open(io.BytesIO(base64.b64decode(picture.layers[layer]))))


def shown(picture, colour):
    layer = pixels(picture, CHANGES)
    return int(((layer[..., :3] == colour).all(axis=-1) & (layer[..., 3] > 0)).sum())


@pytest.fixture(scope='module')
def panoptic_run():
    extremes, records = Extremes(2), []
    for i, (shift, after) in enumerate([(2, 0), (3, 1), (0, 2), (1, 1)]):
        record, stages = make_case(shift, f'{i}.png', after)
        records.append(record)
        if extremes.wants(record):
            extremes.add([draw_segments(record, None, stages, TRUTH, CLASSES)])
    return build_panoptic_report(records, CLASSES.labels, things=[1, 2]), extremes.pictures


def test_a_page_of_pq_has_every_figure(panoptic_run):
    report, pictures = panoptic_run
    page = ParsedPage(render_page(as_dict(report), NOTES, pictures))
    assert_figures(page, as_dict(report))
    assert 'IoU' not in page.text
    for words in ('PQ changed by', 'Change of PQ within the image', 'SQ of each class', 'RQ of each class'):
        assert words in page.text
    assert [picture.name for picture in pictures] == ['0.png', '1.png', '2.png']
    assert '0.png' in page.text
    assert len(page.all('figure')) == 3
    rules.test_links_lead_somewhere(page)  # no link to the gains by initial IoU, which segments do not have
    rules.test_headings_go_down_by_one(page)
    assert len(page.all('caption')) == len(page.all('table'))


def test_gains_of_classes_have_intervals(panoptic_run):
    metrics = as_dict(panoptic_run[0])
    for key in ('gain', 'SQ_gain', 'RQ_gain'):
        name = key.removesuffix('_gain') if '_' in key else 'PQ'
        own = metrics[key]['classes']['ball']
        low, high = own['interval']
        assert low <= own[name] <= high
        difference = metrics[REFINED]['classes'][name]['ball'] - metrics[COARSE]['classes'][name]['ball']
        assert own[name] == pytest.approx(difference, abs=0.011)
        assert metrics[key]['classes']['star'] == {name: None, 'interval': [None, None]}
    assert metrics['gain']['classes']['ball']['PQ'] > 0
    assert metrics['RQ_gain']['classes']['ball'] == {'RQ': 0.0, 'interval': [0.0, 0.0]}


def test_its_files_make_it_again(panoptic_run, tmp_path):
    report, pictures = panoptic_run
    write_report(report, tmp_path, pictures=pictures)
    first = (tmp_path / PAGE).read_text()
    render_again(tmp_path)
    assert (tmp_path / PAGE).read_text() == first


class TestPictures:
    def test_pixels_that_moved_are_right_by_segment(self):
        """The left ball moves onto its place: sky that was ball, and ball that was sky; the right one is the same."""
        record, stages = make_case(2)
        picture = draw_segments(record, None, stages, TRUTH, CLASSES)
        assert (shown(picture, RIGHT), shown(picture, WRONG), shown(picture, OTHER)) == (40, 0, 0)
        assert (picture.before, picture.after) == record.before_after
        assert picture.put_right == pytest.approx(100 * 40 / 800)
        assert [list(entry) for entry in picture.classes] == [['sky', '#0a14c8'], ['ball', '#c81e1e']]

    def test_an_instance_that_takes_the_place_of_another_is_wrong(self):
        """Of the same class, so that label maps could not tell."""
        record, _ = make_case(2)
        swapped = TRUTH[0].clone()
        swapped[5:15, 25:30] = 2  # half of the right ball joins the left one
        stages = {COARSE: TRUTH, REFINED: (swapped, TRUTH[1])}
        picture = draw_segments(record, None, stages, TRUTH, CLASSES)
        assert (shown(picture, RIGHT), shown(picture, WRONG)) == (0, 50)

    def test_a_segment_of_another_class_is_no_true_one(self):
        record, _ = make_case(2)
        star = [SKY, {**LEFT, 'category_id': 2}, RIGHT_BALL]
        stages = {COARSE: (TRUTH[0], star), REFINED: (two_balls(6, 25), star)}
        picture = draw_segments(record, None, stages, TRUTH, CLASSES)
        assert (shown(picture, RIGHT), shown(picture, WRONG), shown(picture, OTHER)) == (0, 10, 10)
        assert ['star', '#f0dc28'] in [list(entry) for entry in picture.classes]

    def test_void_and_crowds_do_not_count(self):
        record, stages = make_case(2)
        crowd = TRUTH[0], [SKY, {**LEFT, 'iscrowd': 1}, RIGHT_BALL]
        picture = draw_segments(record, None, stages, crowd, CLASSES)
        assert shown(picture, RIGHT) == 20, 'the sky alone'
        unlabelled = pixels(picture, 'truth')[10, 8]
        assert unlabelled[:3].tolist() == [128, 128, 128]


class TestInstances:
    def masks(self, shift, scores, crowd=None):
        both = torch.stack([two_balls(5 + shift, 12) == 2, two_balls(5, 12) == 3])
        both[0] |= two_balls(5 + shift, 25) == 2  # behind the other one, too
        return Masks(both, torch.tensor([1, 2]), scores, crowd)

    def test_the_surer_one_is_above_and_the_unsure_are_not_painted(self):
        ids, segments = paint_instances({'': self.masks(0, torch.tensor([0.9, 0.6]))})['']
        assert (ids[8, 13], ids[8, 18]) == (2, 1), 'the first ball hides the second'
        assert [s['category_id'] for s in segments] == [2, 1]
        ids, segments = paint_instances({'': self.masks(0, torch.tensor([0.9, 0.4]))})['']
        assert [s['category_id'] for s in segments] == [1]
        assert ids.unique().tolist() == [0, 1]

    def test_a_truth_is_painted_whole(self):
        _, segments = paint_instances({'': self.masks(0, None, torch.tensor([False, True]))})['']
        assert sorted((s['category_id'], s['iscrowd']) for s in segments) == [(1, 0), (2, 1)]

    def test_an_instance_keeps_its_id_where_another_vanished(self):
        before = self.masks(0, torch.tensor([0.9, 0.6]))
        after = Masks(before.masks[:1], before.classes[:1], before.scores[:1])
        painted = paint_instances({COARSE: before, REFINED: after})
        of_class = {s['category_id']: s['id'] for s in painted[COARSE][1]}
        assert painted[REFINED][1][0]['id'] == of_class[1]


def test_a_page_of_ap():
    instances = pytest.importorskip('mmseg_g4seg.evaluation.instances')
    pytest.importorskip('pycocotools', reason='pycocotools is not installed')
    scores, truth = torch.tensor([0.9, 0.6]), TestInstances().masks(0, None)
    records = [
        instances.measure_instances(f'{i}', {COARSE: TestInstances().masks(shift, scores),
                                             REFINED: TestInstances().masks(0, scores)}, truth)
        for i, shift in enumerate((2, 3, 1))
    ]  # fmt: skip
    assert records[0].before_after[0] < records[0].before_after[1]
    report = instances.build_instance_report(records, CLASSES.labels)
    metrics = as_dict(report)
    page = ParsedPage(render_page(metrics, NOTES))
    assert_figures(page, metrics)
    assert 'mask AP by' in page.text
    assert metrics['gain']['classes']['ball']['AP'] > 0
    assert metrics['AP50_gain']['classes'].keys() == set(CLASSES.labels)
    assert [image.mean_iou[REFINED] for image in report.images] == [record.before_after[1] for record in records]
