import numpy as np
import pytest

from mmseg_g4seg.io.class_files import Classes, read_classes
from mmseg_g4seg.ops.palettes import voc_palette


def test_palette_is_vocs():
    palette = voc_palette()
    assert palette[[0, 1, 2, 3, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [0, 64, 128],
        [224, 224, 192],
    ]
    assert len(np.unique(palette, axis=0)) == 256


def test_names_from_a_file_and_from_a_list(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('background\ntraffic light\n\n cat \n')
    assert list(read_classes(str(path)).names) == ['background', 'traffic light', 'cat']
    assert list(read_classes('background, traffic light,cat').names) == ['background', 'traffic light', 'cat']


def test_a_list_may_be_longer_than_any_path():
    names = [f'class {i}' for i in range(1000)]
    assert list(read_classes(','.join(names)).names) == names


@pytest.mark.parametrize(('background', 'index'), [(None, 1), ('none', None), ('cat', 0), ('background', 1)], ids=str)
def test_background(background, index):
    assert read_classes('cat,background', background=background).background_index == index


def test_no_background_unless_one_is_called_so():
    assert read_classes('cat,dog').background_index is None


def test_unlabelled_value_grows_with_the_classes():
    assert Classes([str(i) for i in range(255)]).ignore_index == 255
    assert Classes([str(i) for i in range(256)]).ignore_index == 65535


def test_own_palette_goes_on_with_vocs(tmp_path):
    path = tmp_path / 'colours.txt'
    path.write_text('1 2 3\n4 5 6\n')
    palette = read_classes('cat,dog', palette=path).palette
    assert palette[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert palette[255].tolist() == [224, 224, 192]


@pytest.mark.parametrize(
    ('colours', 'message'),
    [
        ('1 2 3\n', 'each of 2'),
        ('1 2\n3 4\n', 'three numbers'),
        ('1 2 x\n1 2 3\n', 'three numbers'),
        ('1 2 256\n1 2 3\n', '0 to 255'),
        ('1 2 -1\n1 2 3\n', '0 to 255'),
        ('', 'three numbers'),
    ],
)
def test_bad_palette(tmp_path, colours, message):
    path = tmp_path / 'colours.txt'
    path.write_text(colours)
    with pytest.raises(ValueError, match=message):
        read_classes('cat,dog', palette=path)


@pytest.mark.parametrize(
    ('source', 'background', 'message'),
    [
        ('no_such_file.txt', None, 'file of names'),
        ('cat,cat', None, 'different names'),
        ('cat,', None, 'two names'),
        ('cat,dog', 'tree', 'background'),
    ],
)
def test_bad_names(source, background, message):
    with pytest.raises(ValueError, match=message):
        read_classes(source, background=background)


def test_background_is_one_of_the_classes():
    with pytest.raises(ValueError, match='background'):
        Classes(['cat', 'dog'], 2)
