"""Labels of whole images: JSON, names, VOC's annotations, label maps."""

import json

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.io.image_tags import ImageTags
from mmseg_g4seg.prediction import ClassList

CLASSES = ClassList(['background', 'cat', ('dog', 'hound'), 'bird'])


def write_all(folder):
    """The same tags, a cat and a dog, in every form: what each is read from."""
    (folder / 'tags.json').write_text(json.dumps({'a.b': ['hound', 'cat', 'dog'], 'c.jpg': []}))
    (folder / 'text').mkdir()
    (folder / 'text/a.b.txt').write_text('dog\n\n cat \nbackground\n')
    (folder / 'voc').mkdir()
    objects = ''.join(f'<object><name>{name}</name><part><name>head</name></part></object>' for name in ('dog', 'cat'))
    (folder / 'voc/a.b.xml').write_text(f'<annotation><folder>bird</folder>{objects}</annotation>')
    (folder / 'maps').mkdir()
    labels = np.zeros((4, 5), np.uint8)
    labels[0, 0], labels[1, 1], labels[2, 2] = 1, 2, 255
    Image.fromarray(labels).save(folder / 'maps/a.b.png')


@pytest.mark.parametrize('source', ['tags.json', 'text', 'voc', 'maps'])
def test_every_form_gives_the_same(tmp_path, source):
    write_all(tmp_path)
    assert ImageTags(tmp_path / source, CLASSES)('a.b') == [1, 2]


def test_no_class_is_an_answer_and_no_entry_is_none(tmp_path):
    write_all(tmp_path)
    assert ImageTags(tmp_path / 'tags.json', CLASSES)('c') == []
    with pytest.raises(ValueError, match=r"tags\.json: has no tags of 'd'"):
        ImageTags(tmp_path / 'tags.json', CLASSES)('d')
    with pytest.raises(ValueError, match=r'expected one file d with \.txt or \.xml or \.png in .*, got none'):
        ImageTags(tmp_path / 'text', CLASSES)('d')
    (tmp_path / 'text/a.b.xml').write_text('<annotation/>')
    with pytest.raises(ValueError, match=r'got a\.b\.txt, a\.b\.xml'):
        ImageTags(tmp_path / 'text', CLASSES)('a.b')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"a": ["fish"]}', r"expected a list of some of \['background', 'cat', .*, got 'fish'"),
        ('{"a": "cat"}', "got 'cat'"),
        ('{"a": [3]}', 'got 3'),
        ('[1]', r'tags\.json: expected lists of class names by image, got list'),
        ('{', r'tags\.json: expected JSON'),
        ('{"x/a.jpg": ["cat"], "y/a.jpg": ["bird"]}', "expected one list of tags an image, got several of 'a'"),
    ],
)
def test_what_does_not_fit(tmp_path, content, message):
    (tmp_path / 'tags.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        ImageTags(tmp_path / 'tags.json', CLASSES)('a')


def test_broken_annotations_and_no_source(tmp_path):
    (tmp_path / 'a.xml').write_text('<annotation>')
    with pytest.raises(ValueError, match='expected an annotation in XML'):
        ImageTags(tmp_path, CLASSES)('a')
    with pytest.raises(FileNotFoundError, match='tags: no file or folder'):
        ImageTags(tmp_path / 'none', CLASSES)


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / 'tags.json').write_bytes('{"a": ["cat"]}'.encode('utf-8-sig'))
    assert ImageTags(tmp_path / 'tags.json', CLASSES)('a') == [1]


@pytest.mark.parametrize(('others', 'expected'), [([], [1]), ([[0, 1, 255]], [])])
def test_maps_of_an_object_in_0_and_255(tmp_path, others, expected):
    """Where 1 occurs in another file, 255 has no label."""
    for name, values in zip('ab', [[0, 255], *others], strict=False):
        Image.fromarray(np.array([values], np.uint8)).save(tmp_path / f'{name}.png')
    assert ImageTags(tmp_path, ClassList(['background', 'cat']))('a') == expected
