"""What a list of classes knows."""

import pytest

from mmseg_g4seg.prediction import ClassList


@pytest.mark.parametrize(
    'spelling', ['background', 'Background', 'BACKGROUND', '__background__', '_background_', 'bg', 'back-ground']
)
def test_every_spelling_of_background_is_recognised(spelling):
    assert ClassList(['sky', spelling]).background == 1
    assert ClassList(['sky', ('ground', spelling)]).background == 1


def test_what_only_sounds_like_it_is_not():
    assert ClassList(['sky', 'background wall', 'ground']).background is None


@pytest.mark.parametrize(
    ('background', 'expected'), [(2, 2), ('fish', 2), (None, None), ('none', None), ('auto', 0), ('wall', 1)]
)
def test_background_by_index_name_or_not_at_all(background, expected):
    assert ClassList(['background', ('bricks', 'wall'), 'fish'], background=background).background == expected


def test_is_a_sequence_of_names():
    names = ['sky', ['wall', 'bricks'], 'fish']
    classes = ClassList(names)
    assert len(classes) == 3
    assert list(classes) == ['sky', ('wall', 'bricks'), 'fish']
    assert classes[1] == ('wall', 'bricks')
    assert classes.labels == ['sky', 'wall', 'fish']
    assert ClassList.of(classes) is classes
    assert ClassList.of(names) == classes


def test_what_a_prior_knows():
    classes = ClassList(['sky', ('wall', 'bricks'), 'fish'], known=['bricks', 'sky'])
    assert [classes.knows(i) for i in range(3)] == [True, True, False]
    assert all(map(ClassList(classes.names).knows, range(3)))


def test_options_of_a_refiners_config():
    classes = ClassList(['background', 'fish'], palette=[(0, 0, 0), (9, 9, 9)])
    changed = classes.with_options({'known': ['fish'], 'threshold': 0.3, 'names': ['background', ('fish', 'shark')]})
    assert (changed.known, changed.threshold, changed[1]) == (('fish',), 0.3, ('fish', 'shark'))
    assert changed.palette == [(0, 0, 0), (9, 9, 9)]
    assert classes.known is None
    assert classes.with_options({'background': None}).background is None


def test_what_unlabelled_pixels_are_written_as():
    assert ClassList([f'class {i}' for i in range(255)]).ignore_index == 255
    assert ClassList([f'class {i}' for i in range(256)]).ignore_index == 65535


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(names='sky'), TypeError, "expected a list of names, got the text 'sky'"),
        (dict(names=['sky', ' ']), ValueError, 'expected non-empty text'),
        (dict(names=['sky'], background=1), ValueError, 'background: expected an index below 1, got 1'),
        (dict(names=['sky'], background='fish'), ValueError, r"background: expected one of \['sky'\], got 'fish'"),
        (dict(names=['sky'], threshold=0.3), ValueError, 'threshold: expected a background class'),
        (dict(names=['bg'], threshold=1.3), ValueError, r'threshold: expected a probability in \[0, 1\], got 1.3'),
        (dict(names=['sky', 'fish'], palette=[(0, 0, 0)]), ValueError, 'palette: expected 2 colours'),
        (dict(names={'sky', 'fish'}), TypeError, 'expected a list of names, got the set'),
        (dict(names={'sky': 1, 'fish': 0}), TypeError, 'expected a list of names, got the dict'),
        (dict(names=['sky', None]), TypeError, r'class name: expected text .* got None'),
        (dict(names=[b'sky']), TypeError, 'class name: expected text'),
        (dict(names=['sky'], palette=[[0.5, 0.2, 1.0]]), ValueError, 'palette: .* whole numbers'),
        (dict(names=['sky'], palette=[[0, 0]]), ValueError, 'palette: expected colours of three values'),
        (dict(names=['sky'], palette=[[0, 0, 256]]), ValueError, r'in 0 to 255, got \[0, 0, 256\]'),
        (dict(names=['sky'], known=['road', ' ']), ValueError, 'expected non-empty text'),
        (dict(names=['sky'], known=[]), ValueError, 'known: expected a list of names'),
        (dict(names=['sky'], known='sky'), ValueError, "known: expected a list of names, or None, got 'sky'"),
    ],
)
def test_what_does_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        ClassList(**arguments)


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match='names: expected 2, one a class, got 1'):
        ClassList(['sky', 'fish']).with_options({'names': ['sky']})
    with pytest.raises(ValueError, match=r"expected some of .*'known'.*, got 'knwon'"):
        ClassList(['sky', 'fish']).with_options({'knwon': ['sky']})


class TestSubset:
    CLASSES = ClassList(
        ['sky', 'background', 'fish', 'star'], threshold=0.3, palette=[(i, 0, 0) for i in range(5)], known=['fish']
    )

    def test_knows_what_its_classes_are(self):
        own = self.CLASSES.subset([1, 3])
        assert list(own) == ['background', 'star']
        assert (own.background, own.threshold, own.palette) == (0, 0.3, [(1, 0, 0), (3, 0, 0)])
        assert [own.number(c) for c in range(2)] == [1, 3]
        assert own.whole is self.CLASSES
        smaller = own.subset([0])
        assert (smaller.number(0), smaller.whole) == (1, self.CLASSES)

    def test_all_of_them_are_the_list_itself(self):
        assert self.CLASSES.subset(range(4)) is self.CLASSES
        assert [self.CLASSES.number(c) for c in range(4)] == [0, 1, 2, 3]

    def test_a_prior_may_know_other_classes_of_the_data_set(self):
        own = self.CLASSES.subset([0, 1])
        assert own.any_known
        assert not any(map(own.knows, range(2)))
        assert not ClassList(['sky', 'fish'], known=['star']).any_known
