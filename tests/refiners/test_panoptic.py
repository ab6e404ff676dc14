import pytest
import torch

from mmseg_g4seg import G4SegRefiner, build_refiner
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.g4seg.updates.likelihood import LikelihoodUpdate
from mmseg_g4seg.refiners.panoptic import refine_panoptic

CLASSES = ['sky', 'fish', 'background']
INFO = [
    dict(id=4, category_id=0, isthing=False, area=1),
    dict(id=9, category_id=1, isthing=True, score=0.7),
    dict(id=2, category_id=1, isthing=True, bbox=[0, 0, 1, 1]),
]


@pytest.fixture
def scene():
    """Sky with two fish on it and a strip of void: image and ids, (24, 32)."""
    ids = torch.full((24, 32), 4, dtype=torch.int32)
    ids[8:16, 4:12], ids[8:16, 18:28], ids[20:] = 9, 2, 0
    image = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))
    return image, ids


class Everything(Refiner):
    """Gives every pixel one label, void as well, and notes what it was given."""

    def __init__(self, label):
        self.label = label

    def refine_batch(self, images, predictions, classes, *, keys=None):
        self.seen = predictions[0], classes, keys[0]
        return [Prediction(p.probs, torch.full_like(p.label_map, self.label)) for p in predictions]


def test_two_fish_are_two_classes_of_one_name(scene):
    refiner = Everything(0)
    refine_panoptic(refiner, *scene, INFO, ClassList(CLASSES, known=['fish']), key='a.png')
    coarse, classes, key = refiner.seen
    assert list(classes) == ['sky', 'fish', 'fish']
    assert classes.background is None
    assert classes.known == ('fish',)
    assert key == 'a.png'
    assert coarse.probs.shape == (3, 24, 32)
    assert (coarse.label_map == -1).equal(scene[1] == 0)


def test_void_stays_void_and_what_vanishes_is_dropped(scene):
    image, ids = scene
    given = [dict(segment) for segment in INFO]
    refined, info = refine_panoptic(Everything(2), image, ids, INFO, CLASSES)
    assert refined.equal(torch.where(ids == 0, 0, 2).int())
    assert refined.dtype == torch.int32
    assert info == [dict(id=2, category_id=1, isthing=True, bbox=[0, 0, 32, 20])]
    assert given == INFO
    refined, info = refine_panoptic(Everything(-1), image, ids, INFO, CLASSES)
    assert refined.equal(ids)
    assert info[0]['area'] == int((ids == 4).sum())
    assert [s['id'] for s in info] == [4, 9, 2]
    assert info[2]['bbox'] == [18, 8, 10, 8]


def test_a_segment_without_a_pixel_is_dropped(scene):
    _, info = refine_panoptic(Everything(-1), *scene, [*INFO, dict(id=77, category_id=0)], CLASSES)
    assert [s['id'] for s in info] == [4, 9, 2]


def test_fill_void_is_asked_for(scene):
    image, ids = scene
    refined, _ = refine_panoptic(build_refiner(dict(type='FillVoid')), image, ids, INFO, CLASSES)
    assert refined.equal(torch.where(ids == 0, 4, ids))
    chain = dict(type='SequentialRefiner', refiners=[dict(type='PAMRRefiner'), dict(type='FillVoid')])
    assert not (refine_panoptic(build_refiner(chain), image, ids, INFO, CLASSES)[0] == 0).any()


@pytest.mark.parametrize('part', ['PAMRRefiner', 'DenseCRFRefiner'])
def test_other_refiners_leave_void(scene, part):
    image, ids = scene
    noisy = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(1))
    refined, _ = refine_panoptic(build_refiner(dict(type=part)), image, ids, INFO, CLASSES, query_masks=noisy)
    assert (refined == 0).equal(ids == 0)
    assert not refined.equal(ids)


def test_g4seg_moves_pixels_from_segment_to_segment(scene, prior):
    image, ids = scene
    noisy = 0.4 + 0.2 * torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(1))
    refiner = G4SegRefiner(prior, image_size=32, update=LikelihoodUpdate(timesteps=[300], uncertain_below=1.0))
    refined, info = refine_panoptic(refiner, image, ids, INFO, CLASSES, query_masks=noisy.half(), key='a')
    assert (refined == 0).equal(ids == 0)
    assert not refined.equal(ids)
    assert {s['id'] for s in info} == set(refined.unique().tolist()) - {0}
    again, _ = refine_panoptic(refiner, image, ids, INFO, CLASSES, query_masks=noisy.half(), key='a')
    assert again.equal(refined)


def test_segments_of_the_background_stay(scene):
    image, ids = scene
    info = [INFO[0], {**INFO[1], 'category_id': 2}, INFO[2]]
    refiner = Everything(1)
    refined, left = refine_panoptic(refiner, image, ids, info, CLASSES, query_masks=torch.rand(3, 24, 32))
    assert refiner.seen[0].probs.shape[0] == 2
    assert (refined == 9).equal(ids == 9)
    assert sorted(s['id'] for s in left) == [2, 9]
    fill = build_refiner(dict(type='FillVoid'))
    assert (refine_panoptic(fill, image, ids, info, CLASSES)[0] == 9).equal(ids == 9)


def test_nothing_known_or_nothing_there_stays(scene):
    image, ids = scene
    nothing = Everything(0)
    classes = ClassList([*CLASSES, 'star'], known=['star'])
    kept, _ = refine_panoptic(nothing, image, ids, INFO, classes)
    assert kept.equal(ids)
    # evaluators of Detectron2 add to the ids that they are given, and the coarse ones must stay
    assert kept.data_ptr() != ids.data_ptr()
    assert refine_panoptic(nothing, image, ids * 0, [], CLASSES) == (pytest.approx(ids * 0), [])
    assert not hasattr(nothing, 'seen')


def test_no_class_known_at_all_is_the_refiners_error(scene, prior):
    refiner = G4SegRefiner(prior, image_size=32)
    with pytest.raises(ValueError, match='known: expected some of'):
        refine_panoptic(refiner, *scene, INFO, ClassList(CLASSES, known=['Fisch']))


def test_panoptic_deeplab_keeps_its_form(scene):
    image, ids = scene
    coded = torch.tensor([-1, 0, 1001, 0, 0, 0, 0, 0, 0, 1002])[[0, 0, 2, 0, 1, 0, 0, 0, 0, 9]][ids.long()]
    assert coded.unique().tolist() == [-1, 0, 1001, 1002]
    refiner = Everything(1)
    refined, info = refine_panoptic(refiner, image, coded, None, CLASSES, label_divisor=1000)
    assert info is None
    assert list(refiner.seen[1]) == ['sky', 'fish', 'fish']
    assert refined.equal(torch.where(coded == -1, -1, 1001))
    with pytest.raises(ValueError, match='need label_divisor'):
        refine_panoptic(refiner, image, coded, None, CLASSES)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(panoptic_seg=torch.zeros(24, 31).int()), r'expected integers \(24, 32\)'),
        (dict(panoptic_seg=torch.zeros(24, 32)), 'got torch.float32'),
        (dict(segments_info=[INFO[0], INFO[0]]), r'expected different ids, got \[4, 4\]'),
        (dict(segments_info=[dict(id=4, category_id=3)]), r'category_id below 3, one a class name, got \[3\]'),
        (dict(query_masks=torch.zeros(2, 24, 32)), r'query_masks: expected \(3, 24, 32\) for 3 segments'),
    ],
)
def test_what_does_not_fit_is_named(scene, change, message):
    image, ids = scene
    given = dict(panoptic_seg=ids, segments_info=INFO, classes=CLASSES)
    with pytest.raises(ValueError, match=message):
        refine_panoptic(Everything(0), image, **{**given, **change})
