"""COCO-Object against masks made by hand: polygons, both kinds of RLE, overlaps, crowds."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.hosts.mmseg.converters.coco_masks import _unpack_counts, decode_segmentation
from mmseg_g4seg.hosts.mmseg.converters.coco_object import AnnotatedImage, class_ids_of, convert_coco_object, draw
from mmseg_g4seg.hosts.mmseg.datasets.coco_names import OBJECT_CLASSES, THINGS
from tests.scripts import run_script

SIZE = (4, 6)  # H, W
GAPS = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]
CATEGORY_IDS = [i for i in range(1, 91) if i not in GAPS]
CATEGORIES = [{'id': i, 'name': name} for i, name in zip(CATEGORY_IDS, THINGS, strict=True)]


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def region(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    inside = np.zeros(SIZE, bool)
    inside[top:bottom, left:right] = True
    return inside


def counts_of(inside: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE, by hand: runs of 0, then of 1, ..., down the columns."""
    counts, value = [0], False
    for pixel in inside.T.ravel():
        if pixel != value:
            counts.append(0)
            value = not value
        counts[-1] += 1
    return counts


def entry(i: int, class_id: int, segmentation, iscrowd: int = 0) -> dict:
    return {'id': i, 'class_id': class_id, 'segmentation': segmentation, 'iscrowd': iscrowd}


def test_names():
    assert len(OBJECT_CLASSES) == len(set(OBJECT_CLASSES)) == 81
    assert OBJECT_CLASSES[0] == 'background'
    assert (OBJECT_CLASSES[1], OBJECT_CLASSES[80]) == ('person', 'toothbrush')
    assert len(CATEGORIES) == 80


def test_names_are_mmsegs():
    pytest.importorskip('mmseg')
    from mmseg.datasets import COCOStuffDataset

    assert COCOStuffDataset.METAINFO['classes'][:80] == THINGS


def test_polygons():
    np.testing.assert_array_equal(decode_segmentation(box(1, 1, 4, 3), SIZE), region(1, 1, 4, 3))
    both = [*box(0, 0, 2, 2), *box(4, 2, 6, 4)]
    np.testing.assert_array_equal(decode_segmentation(both, SIZE), region(0, 0, 2, 2) | region(4, 2, 6, 4))


def test_polygons_may_leave_the_image():
    """As those of annotators do; what lies outside is cut off."""
    np.testing.assert_array_equal(decode_segmentation(box(-12, -8, 12, 8), SIZE), region(0, 0, 6, 4))


def test_uncompressed_rle():
    counts = [5, 2, 2, 2, 13]  # rows 1, 2 of columns 1, 2
    inside = decode_segmentation({'size': list(SIZE), 'counts': counts}, SIZE)
    np.testing.assert_array_equal(inside, region(1, 1, 3, 3))
    assert inside.dtype == bool
    assert counts_of(region(1, 1, 3, 3)) == counts


def test_compressed_rle():
    """[5, 2, 2, 2, 13] by COCO's rule: from the fourth run on the difference from two runs before: 5 2 2 0 11."""
    text = ''.join(chr(48 + value) for value in (5, 2, 2, 0, 11))
    np.testing.assert_array_equal(decode_segmentation({'size': list(SIZE), 'counts': text}, SIZE), region(1, 1, 3, 3))


@pytest.mark.parametrize('seed', range(20))
def test_compressed_rle_of_random_masks(seed):
    """Long runs take several letters, falling ones are negative: what pycocotools packs is unpacked alike."""
    from pycocotools import mask as coco_mask

    generator = np.random.default_rng(seed)
    inside = generator.random((40, 50)) < generator.choice([0.001, 0.02, 0.5])
    rle = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    assert _unpack_counts(rle['counts']) == counts_of(inside)
    np.testing.assert_array_equal(decode_segmentation(dict(rle, counts=rle['counts'].decode()), (40, 50)), inside)


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([], 'expected polygons or RLE'),
        (None, 'expected polygons or RLE'),
        ([[1, 1, 2, 2]], 'three points or more'),
        ([[1, 1, 2, 2, 3, 3, 4]], 'three points or more'),
        ([[float('nan'), 1, 2, 2, 3, 3]], 'x from -12 to 12, got nan'),
        ([[1, 1, 2, float('inf'), 3, 3]], 'y from -8 to 8, got inf'),
        ([[1, 1, 2, 2, 12.1, 3]], r'x from -12 to 12, got 12\.1'),
        ([[1, 1, 2, -9, 3, 3]], 'y from -8 to 8, got -9'),
        ([[1, 1, 2, 2, 10**9, 3]], 'x from -12 to 12, got 1000000000'),
        ([[1, 1, 2, '2', 3, 3]], 'y from -8 to 8, got 2'),
        ([[1, 1, 2, None, 3, 3]], 'got None'),
        ({'size': [6, 4], 'counts': [24]}, r'size \[4, 6\], got \[6, 4\]'),
        ({'size': [4, 6], 'counts': [20]}, '24 pixels, got one of 20'),
        ({'size': [4, 6], 'counts': [30, -6]}, 'counts as a list or a string'),
        ({'size': [4, 6], 'counts': '5'}, '24 pixels, got one of 5'),
        ({'size': [4, 6], 'counts': 'h'}, 'cut short'),
        ({'size': [4, 6], 'counts': '5 2'}, 'letters from'),
        ({'size': [4, 6]}, 'counts as a list or a string'),
    ],
)
def test_damaged_segmentations(segmentation, message):
    with pytest.raises(ValueError, match=message):
        decode_segmentation(segmentation, SIZE)


def test_smaller_objects_lie_on_larger_ones():
    """In whichever order they are listed; a crowd lies below all, however small."""
    table, cup = entry(1, 61, box(0, 0, 5, 4)), entry(2, 42, box(1, 1, 3, 3))
    crowd = entry(3, 1, {'size': list(SIZE), 'counts': counts_of(region(2, 2, 3, 3) | region(5, 0, 6, 1))}, iscrowd=1)
    expected = np.zeros(SIZE, int)
    expected[:, :5], expected[1:3, 1:3], expected[0, 5] = 61, 42, 1
    for annotations in ([table, cup, crowd], [crowd, cup, table]):
        np.testing.assert_array_equal(draw(AnnotatedImage(SIZE, annotations)), expected)


def test_of_equal_sizes_the_higher_id_is_on_top():
    first, second = entry(7, 3, box(0, 0, 2, 2)), entry(8, 4, box(0, 0, 2, 2))
    for annotations in ([first, second], [second, first]):
        assert draw(AnnotatedImage(SIZE, annotations))[0, 0] == 4


def test_damage_names_the_annotation():
    with pytest.raises(ValueError, match='annotation 5: expected a polygon'):
        draw(AnnotatedImage(SIZE, [entry(5, 1, [[0, 0]])]))


def test_class_ids_follow_names_over_the_gaps():
    ids = class_ids_of(CATEGORIES)
    assert (ids[1], ids[11], ids[13], ids[90]) == (1, 11, 12, 80)
    assert sorted(ids.values()) == list(range(1, 81))
    with pytest.raises(ValueError, match=r"missing: \['person'\], unknown: \['people'\]"):
        class_ids_of([{'id': 1, 'name': 'people'}, *CATEGORIES[1:]])


@pytest.fixture
def annotations(tmp_path) -> Path:
    content = {
        'categories': CATEGORIES,
        'images': [
            {'id': 4, 'file_name': '000000000004.jpg', 'height': 4, 'width': 6},
            {'id': 5, 'file_name': '000000000005.jpg', 'height': 3, 'width': 2},
        ],
        'annotations': [
            {'id': 1, 'image_id': 4, 'category_id': 13, 'segmentation': box(1, 1, 4, 3), 'iscrowd': 0},
        ],
    }
    folder = tmp_path / 'annotations'
    folder.mkdir()
    (folder / 'instances_val2017.json').write_text(json.dumps(content))
    return folder


def test_converts(annotations, tmp_path):
    summary = convert_coco_object(annotations, tmp_path / 'out', splits=('val2017',))
    labels = np.asarray(Image.open(tmp_path / 'out/val2017/000000000004_instanceTrainIds.png'))
    np.testing.assert_array_equal(labels, np.where(region(1, 1, 4, 3), 12, 0))
    nothing = np.asarray(Image.open(tmp_path / 'out/val2017/000000000005_instanceTrainIds.png'))
    np.testing.assert_array_equal(nothing, np.zeros((3, 2)))
    assert summary.pixels[[0, 12]].tolist() == [24, 6]
    assert convert_coco_object(annotations, tmp_path / 'out', splits=('val2017',)).skipped == 2


def test_missing_and_wrong_files(annotations, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'instances_train2017\.json is missing'):
        convert_coco_object(annotations, tmp_path / 'out')
    (annotations / 'instances_train2017.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match=r'instances_train2017\.json: expected COCO'):
        convert_coco_object(annotations, tmp_path / 'out', splits=('train2017',))
    (annotations / 'instances_train2017.json').write_text('{"images": [')
    with pytest.raises(ValueError, match=r'instances_train2017\.json: expected COCO'):
        convert_coco_object(annotations, tmp_path / 'out', splits=('train2017',))


def test_without_pycocotools(annotations, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(ImportError, match=r'mmseg_g4seg\[coco\]'):
        convert_coco_object(annotations, tmp_path / 'out', splits=('val2017',))


def test_script(annotations, tmp_path):
    content = json.loads((annotations / 'instances_val2017.json').read_text())
    content['annotations'].append({'id': 2, 'image_id': 5, 'category_id': 1, 'segmentation': [[0, 0, 1, 1]]})
    far = {'id': 3, 'image_id': 4, 'category_id': 1, 'segmentation': [[0, 0, float('nan'), 1, 3, 3]]}
    content['annotations'].append(far)
    (annotations / 'instances_val2017.json').write_text(json.dumps(content))
    script = 'tools/dataset_converters/coco_object.py'
    result = run_script(script, annotations, tmp_path / 'out', '--splits', 'val2017')
    assert result.returncode == 1, result.stderr
    assert '0 written, 0 already there, 2 failed' in result.stdout
    failed = 'failed: instances_val2017.json: 000000000004.jpg: annotation 3: '
    assert f'{failed}expected a polygon with x from -12 to 12, got nan' in result.stdout
    assert 'failed: instances_val2017.json: 000000000005.jpg: annotation 2: expected a polygon' in result.stdout
