import os
import subprocess
import sys

import numpy as np
import pytest

from mmseg_g4seg.io.class_files import distinct_classes, read_classes, read_synonyms
from mmseg_g4seg.io.label_files import index_colours
from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.prediction import ClassList
from tests.conftest import ROOT


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
    assert list(read_classes(str(path))) == ['background', 'traffic light', 'cat']
    assert list(read_classes('background, traffic light,cat')) == ['background', 'traffic light', 'cat']


def test_a_line_is_one_name(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('background\ncat, kitten\n')
    assert list(read_classes(str(path))) == ['background', 'cat, kitten']


def test_a_list_may_be_longer_than_any_path():
    names = [f'class {i}' for i in range(1000)]
    assert list(read_classes(','.join(names))) == names


@pytest.mark.parametrize(('background', 'index'), [(None, 1), ('none', None), ('cat', 0), ('background', 1)], ids=str)
def test_background(background, index):
    assert read_classes('cat,background', background=background).background == index


def test_no_background_unless_one_is_called_so():
    assert read_classes('cat,dog').background is None


def test_unlabelled_value_grows_with_the_classes():
    assert ClassList([str(i) for i in range(255)]).ignore_index == 255
    assert ClassList([str(i) for i in range(256)]).ignore_index == 65535


@pytest.mark.parametrize('spelling', ['background', 'Background', '__background__', 'BACKGROUND'])
def test_every_spelling_of_background(tmp_path, spelling):
    path = tmp_path / 'classes.txt'
    path.write_text(f'dog\n{spelling}\ncat\n')
    assert read_classes(str(path)).background == 1


class TestEncodings:
    NAMES = ('background', 'cha\u00eene', 'cat')

    def read(self, tmp_path, encoding: str, names=NAMES) -> ClassList:
        path = tmp_path / 'classes.txt'
        path.write_bytes('\r\n'.join([*names, '']).encode(encoding))
        return read_classes(str(path))

    @pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
    def test_utf_8_with_a_byte_order_mark_and_without(self, tmp_path, encoding):
        classes = self.read(tmp_path, encoding)
        assert list(classes) == list(self.NAMES)
        assert classes.background == 0

    @pytest.mark.parametrize(
        'encoding', ['utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'latin-1', 'cp1252', 'mac-roman']
    )
    def test_others_are_named(self, tmp_path, encoding):
        with pytest.raises(ValueError, match=r'classes\.txt: expected text in UTF-8'):
            self.read(tmp_path, encoding)

    @pytest.mark.parametrize('encoding', ['utf-16-le', 'utf-16-be'])
    def test_utf_16_of_english_names_is_valid_utf_8(self, tmp_path, encoding):
        with pytest.raises(ValueError, match=r'classes\.txt: expected text in UTF-8, got NUL'):
            self.read(tmp_path, encoding, ['background', 'cat'])

    def test_palettes_too(self, tmp_path):
        path = tmp_path / 'colours.txt'
        path.write_bytes('1 2 3\n4 5 6\n'.encode('utf-8-sig'))
        assert read_classes('cat,dog', palette=path).palette == [(1, 2, 3), (4, 5, 6)]
        path.write_bytes('1 2 3\n4 5 6\n'.encode('utf-16'))
        with pytest.raises(ValueError, match=r'colours\.txt: expected text in UTF-8'):
            read_classes('cat,dog', palette=path)

    def test_whatever_the_locale(self, tmp_path):
        path = tmp_path / 'classes.txt'
        path.write_bytes('\n'.join(self.NAMES).encode())
        code = (
            'import locale, sys; sys.modules.update(dict.fromkeys(("mmseg", "mmengine")))\n'
            'from mmseg_g4seg.io.class_files import read_classes\n'
            'print(locale.getpreferredencoding(False), ascii(list(read_classes(sys.argv[1]))))'
        )
        plain = {'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONPATH': str(ROOT)}
        command = [sys.executable, '-X', 'utf8=0', '-c', code, str(path)]
        done = subprocess.run(command, env={**os.environ, **plain}, capture_output=True, text=True, check=True)
        encoding, _, names = done.stdout.strip().partition(' ')
        assert encoding != 'utf-8'
        assert names == ascii(list(self.NAMES))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('__ignore__\n_background_\ncat\n', r"line 1: expected the name of a class and nothing else, got '__ignore__'"),
        ('# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n', 'line 1'),
        ('background\ncat:250,50,83::\n', 'line 2'),
        ('names:\n  0: cat\n  1: dog\n', 'line 1'),
        ('[\n "cat",\n "dog"\n]\n', 'line 1'),
        ('background\ncat\t1\n', 'line 2'),
        ('0 background\n1 cat\n', "without their numbers, got '0 background'"),
        ('background,0\ncat, 1\n\n', "without their numbers, got 'background,0'"),
    ],
    ids=['LabelMe', 'CVAT', 'colours', 'YOLO', 'JSON', 'tabs', 'numbers first', 'numbers last'],
)
def test_lists_of_other_tools(tmp_path, text, message):
    """Each line went for a name: classes moved by one, or the background was refined."""
    path = tmp_path / 'classes.txt'
    path.write_text(text)
    for read in (read_classes, read_synonyms):
        with pytest.raises(ValueError, match=rf'classes\.txt.*{message}'):
            read(str(path))


def test_names_with_numbers(tmp_path):
    path = tmp_path / 'classes.txt'
    for names in (['class 0', '2 euro coin', '3d printer', '7'], ['1 cent', '2 cent', '5 cent']):
        path.write_text('\n'.join(names))
        assert list(read_classes(str(path))) == names


def test_own_palette_goes_on_with_vocs(tmp_path):
    path = tmp_path / 'colours.txt'
    path.write_text('1 2 3\n4 5 6\n')
    palette = index_colours(read_classes('cat,dog', palette=path))
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
        ('a,b/no_such_file.txt', None, 'file of names'),
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
        ClassList(['cat', 'dog'], background=2)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['cat'], 'two names'),
        (['cat', 'dog', 'cat'], 'different names'),
        (['traffic light', 'traffic  light'], 'different names'),
        ([('cat', 'kitten'), ('cat', 'lynx')], 'different names'),  # of which a table would show one
    ],
)
def test_classes_that_masks_cannot_tell_apart(names, message):
    with pytest.raises(ValueError, match=message):
        distinct_classes(ClassList(names))


class TestSynonyms:
    def write(self, tmp_path, text: str) -> str:
        path = tmp_path / 'words.txt'
        path.write_text(text)
        return str(path)

    @pytest.mark.parametrize('end', ['', '\n'])
    def test_a_class_a_line(self, tmp_path, end):
        path = self.write(tmp_path, f'sky, wall\nhot  dog\ncat, kitten {end}')
        assert read_synonyms(path) == [('sky', 'wall'), ('hot  dog',), ('cat', 'kitten')]

    @pytest.mark.parametrize(
        ('text', 'message'),
        [
            ('sky\ncat,kitten\n', r"words\.txt, line 2: expected names with ', ' between, got 'cat,kitten'"),
            ('sky\n\ncat\n', r"words\.txt, line 2: expected names with ', ' between, got ''"),
            ('sky\ncat, \n', r"line 2: expected names with ', ' between, got 'cat, '"),
            ('sky\ncat, , dog\n', r"line 2: expected names with ', ' between"),
            ('sky, bed\ncat\nbed\n', r"words\.txt: expected different names, got 'bed' in lines 1 and 3"),
            ('sky, sky\ncat\n', "got 'sky' in lines 1 and 1"),
            ('sky\n', 'expected at least two lines, one a class, got 1'),
        ],
    )
    def test_lines_that_are_no_names(self, tmp_path, text, message):
        with pytest.raises(ValueError, match=message):
            read_synonyms(self.write(tmp_path, text))

    def test_not_there(self):
        with pytest.raises(FileNotFoundError, match=r'class names: no such file: mmseg_g4seg::_base_/classes/voc22'):
            read_synonyms('mmseg_g4seg::_base_/classes/voc22.txt')

    @pytest.mark.parametrize(
        ('name', 'classes', 'words'), [('voc20', 20, 30), ('voc21', 21, 56), ('coco_object', 81, 112)]
    )
    def test_those_of_the_package(self, name, classes, words):
        found = read_synonyms(f'mmseg_g4seg::_base_/classes/{name}.txt')
        assert (len(found), sum(map(len, found))) == (classes, words)
