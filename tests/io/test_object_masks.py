import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.io.object_masks import is_object_mask, mask_values, object_labels, object_values
from mmseg_g4seg.prediction import ClassList


@pytest.mark.parametrize(
    ('values', 'classes', 'expected'),
    [
        ({0, 255}, 2, True),
        ({255}, 2, True),  # the object fills the picture
        ({0}, 2, False),
        ({0, 1}, 2, False),
        ({0, 1, 255}, 2, False),  # 255 has no label
        ({0, 3, 255}, 21, False),
        ({0, 255}, 300, False),  # a class of its own
        (set(), 2, False),
    ],
)
def test_what_255_is(values, classes, expected):
    assert is_object_mask(values, classes) is expected


@pytest.mark.parametrize('classes', [1, 3, 255])
def test_an_object_of_many_classes_is_an_error(classes):
    with pytest.raises(ValueError, match=r'no other values than 0 and 255: .* needs two class names'):
        is_object_mask({0, 255}, classes)


@pytest.mark.parametrize(('names', 'expected'), [(['background', 'cat'], [0, 1]), (['cat', 'background'], [1, 0])])
def test_the_object_is_what_is_not_background(names, expected):
    drawn = torch.tensor([[0, 255]])
    labels = object_labels(drawn, ClassList(names))
    assert labels.tolist() == [expected]
    assert labels.dtype == torch.int64
    assert torch.equal(object_values(labels, ClassList(names)), drawn)


def test_values_of_a_folder(tmp_path):
    paths = [tmp_path / f'{i}.png' for i in range(4)]
    for path, values in zip(paths, ([0, 255], [0, 255], [0, 1], [0, 7]), strict=True):
        Image.fromarray(np.array([values], np.uint8)).save(path)
    assert mask_values(paths[:2]) == {0, 255}
    assert mask_values(paths) == {0, 1, 255}  # the fourth need not be read
    paths[0].write_text('damaged')
    assert mask_values(paths[:2]) == {0, 255}
    Image.new('RGB', (2, 2)).save(paths[1])
    assert mask_values(paths[:2]) == set()
    Image.fromarray(np.array([[0, 255]], np.uint16)).save(paths[0])
    assert mask_values(paths[:2]) == {0, 255}


def test_one_bit_does_not_tell(tmp_path):
    """Read as 0 and 1, one file made the 255 of all the others unlabelled."""
    for i, dtype in enumerate((np.uint8, bool)):
        Image.fromarray(np.array([[0, 255], [0, 255]]).astype(dtype)).save(tmp_path / f'{i}.png')
    assert Image.open(tmp_path / '1.png').mode == '1'
    assert mask_values(tmp_path.iterdir()) == {0, 255}
    assert mask_values([tmp_path / '1.png']) == set()  # mmseg reads it as 0 and 1
