import pytest

from mmseg_g4seg.io.category_names import clean_name


@pytest.mark.parametrize(
    ('given', 'stuff', 'cleaned'),
    [
        ('wall-tile', True, 'wall tile'),
        ('mirror-stuff', True, 'mirror'),
        ('tree-merged', True, 'tree'),
        ('floor-other-merged', True, 'floor'),
        ('road, route', True, ('road', 'route')),
        ('window ', False, 'window'),
        ('T-shirt', False, 'T-shirt'),
        ('hot dog', False, 'hot dog'),
        ('bow_(weapon)', False, 'bow weapon'),
        (('car', 'auto'), False, ('car', 'auto')),
    ],
)
def test_names_are_words(given, stuff, cleaned):
    assert clean_name(given, stuff=stuff) == cleaned
