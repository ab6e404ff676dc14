"""Raw ids to training ids: every one of the 256, by hand and by mmseg's own transform."""

import numpy as np
import pytest

from mmseg_g4seg.hosts.mmseg.datasets.cityscapes_ids import CLASSES, LABEL_MAP, NUM_CLASSES
from mmseg_g4seg.hosts.mmseg.datasets.label_rules import LabelRules, UnexpectedIds

ALL = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_plain_ids_stay():
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    mapped = LabelRules(3).apply(labels)
    assert mapped.dtype == np.uint8
    np.testing.assert_array_equal(mapped, labels)


def test_zero_is_ignored_and_the_rest_falls():
    mapped = LabelRules(3, reduce_zero_label=True).apply(np.array([[0, 1, 2, 3, 255]], np.uint8))
    np.testing.assert_array_equal(mapped, [[255, 0, 1, 2, 255]])


def test_the_map_is_applied_at_once():
    """0 and 1 change places: a second look at a changed pixel would undo it."""
    mapped = LabelRules(2, label_map={0: 1, 1: 0}).apply(np.array([[0, 1, 255]], np.uint8))
    np.testing.assert_array_equal(mapped, [[1, 0, 255]])


def test_cityscapes_ids():
    raw = np.array([[0, 6, 7, 8, 10, 11, 20, 23, 26, 29, 31, 33, 255]], np.uint8)
    expected = [[255, 255, 0, 1, 255, 2, 7, 10, 13, 255, 16, 18, 255]]
    np.testing.assert_array_equal(LabelRules(NUM_CLASSES, label_map=LABEL_MAP).apply(raw), expected)
    assert sorted(LABEL_MAP) == list(range(34))
    assert sorted(set(LABEL_MAP.values())) == [*range(19), 255]
    assert len(CLASSES) == 19


@pytest.mark.parametrize(
    ('rules', 'ids', 'expected'),
    [
        (LabelRules(3), [3, 254], '0 to 2, 255'),
        (LabelRules(3, reduce_zero_label=True), [4, 200], '0 to 3, 255'),
        (LabelRules(NUM_CLASSES, label_map=LABEL_MAP), [34, 254], '0 to 33, 255'),
        (LabelRules(2, ignore_index=9, label_map={5: 1}), [255], '0 to 1, 5, 9'),
    ],
)
def test_ids_that_do_not_belong(rules, ids, expected):
    labels = np.zeros((4, 4), np.uint8)
    labels[1, : len(ids)] = ids
    with pytest.raises(UnexpectedIds, match='do not belong') as caught:
        rules.apply(labels)
    assert caught.value.ids == ids
    assert f'expected {expected}' in str(caught.value)


def test_many_unexpected_ids_are_named_in_short():
    with pytest.raises(UnexpectedIds, match='and 241 more'):
        LabelRules(2).apply(ALL)


def test_sixteen_bits_do_not_wrap_around():
    assert LabelRules(3).apply(np.array([[2, 255]], np.int32)).tolist() == [[2, 255]]
    for outside in (256, -1):
        with pytest.raises(UnexpectedIds) as caught:
            LabelRules(3).apply(np.array([[2, outside]], np.int32))
        assert caught.value.ids == [outside]


def test_one_bit():
    assert LabelRules(2).apply(np.array([[False, True]])).tolist() == [[0, 1]]


def test_painted_labels_are_refused():
    with pytest.raises(ValueError, match='painted label map'):
        LabelRules(3).apply(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 3, 3: 255, 7: 0}])
def test_equals_mmseg(tmp_path, reduce_zero_label, label_map):
    """All 256 ids, as mmseg's LoadAnnotations maps them."""
    pytest.importorskip('mmseg')
    from mmseg.datasets.transforms import LoadAnnotations
    from PIL import Image

    Image.fromarray(ALL).save(tmp_path / 'labels.png')
    results = {'seg_map_path': str(tmp_path / 'labels.png'), 'seg_fields': [], 'label_map': label_map}
    loaded = LoadAnnotations()({**results, 'reduce_zero_label': reduce_zero_label})['gt_seg_map']
    rules = LabelRules(256, reduce_zero_label=reduce_zero_label, label_map=label_map)
    np.testing.assert_array_equal(rules.apply(ALL), loaded)
