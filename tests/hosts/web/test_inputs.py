"""What a user gives to the page: picture, names, strokes, files."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.hosts.web.inputs import (
    LONGEST,
    Picture,
    class_colours,
    named_classes,
    open_picture,
    painted_mask,
    read_mask,
)


def picture(height: int, width: int, original: tuple[int, int] | None = None) -> Picture:
    return Picture(np.zeros((height, width, 3), np.uint8), original or (height, width))


def test_a_large_picture_and_its_mask_shrink_together(tmp_path):
    height, width = 300, 2 * LONGEST
    Image.new('RGB', (width, height), 'red').save(tmp_path / 'large.png')
    found = open_picture(tmp_path / 'large.png')
    assert (found.size, found.original) == ((150, LONGEST), (300, 2048))
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 1
    Image.fromarray(labels).save(tmp_path / 'mask.png')
    mask = read_mask(tmp_path / 'mask.png', named_classes('background, cat'), found).label_map
    assert mask.shape == (150, LONGEST)
    assert mask[:, : LONGEST // 2].sum() == 0
    assert mask[:, LONGEST // 2 :].all()


def test_a_picture_is_upright(tmp_path):
    image = Image.new('RGB', (4, 2))
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / 'turned.jpg', exif=exif)
    assert open_picture(tmp_path / 'turned.jpg').size == (4, 2)


def test_names_and_their_colours():
    classes = named_classes('background, hot air balloon\nfish,')
    assert list(classes) == ['background', 'hot air balloon', 'fish']
    assert classes.background == 0
    colours = np.array(class_colours(14))
    apart = np.abs(colours[:, None] - colours[None]).sum(axis=-1)[~np.eye(14, dtype=bool)]
    assert apart.min() > 40
    for text, words in (('cat', 'at least two names'), ('cat, cat', 'different names'), ('', 'at least two')):
        with pytest.raises(ValueError, match=words):
            named_classes(text)


def test_a_name_is_no_file(tmp_path, monkeypatch):
    """A page that read the files of its machine would show them to whoever it is shared with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'secret').write_text('a\nb\n')
    with pytest.raises(ValueError, match='secret'):
        named_classes('secret')


def stroke(size: tuple[int, int], where: tuple[slice, slice], colour, opacity: int = 255) -> np.ndarray:
    layer = np.zeros((*size, 4), np.uint8)
    layer[where] = (*colour, opacity)
    return layer


def test_strokes_are_classes():
    classes = named_classes('background, cat, dog')
    colours = classes.palette
    # on a canvas of twice the size, in a colour that antialiasing changed a little
    cat = stroke((8, 12), (slice(0, 4), slice(None)), [min(255, c + 6) for c in colours[1]])
    dog = stroke((8, 12), (slice(2, 4), slice(0, 6)), colours[2])
    rim = stroke((8, 12), (slice(6, 8), slice(None)), colours[2], opacity=90)
    labels = painted_mask([cat, dog, rim], classes, (4, 6)).label_map
    assert labels.tolist() == [[1] * 6, [2] * 3 + [1] * 3, [0] * 6, [0] * 6]
    # no class is called background: what is not painted has no label
    assert painted_mask([cat], named_classes('sky, cat'), (4, 6)).label_map[3, 0] == 255
    with pytest.raises(ValueError, match='expected strokes'):
        painted_mask([stroke((8, 12), (slice(0), slice(0)), (0, 0, 0))], classes, (4, 6))


def test_kinds_of_mask_files(tmp_path):
    classes, given = named_classes('background, cat'), picture(4, 6)
    Image.fromarray(np.full((4, 6), 255, np.uint8)).save(tmp_path / 'object.png')
    assert read_mask(tmp_path / 'object.png', classes, given).label_map.unique().tolist() == [1]
    np.save(tmp_path / 'scores.npy', np.full((2, 2, 3), 0.5, np.float32))
    assert read_mask(tmp_path / 'scores.npy', classes, given).probs.shape == (2, 2, 3)
    indices = torch.tensor([[0, 1], [1, 0]]).repeat(2, 3).numpy().astype(np.uint8)
    Image.fromarray(indices).save(tmp_path / 'indices.png')
    assert read_mask(tmp_path / 'indices.png', classes, given).label_map.tolist() == indices.tolist()


def test_files_that_do_not_fit(tmp_path):
    classes, given = named_classes('background, cat'), picture(4, 6)
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / 'high.png')
    Image.fromarray(np.full((4, 6), 7, np.uint8)).save(tmp_path / 'seven.png')
    Image.new('RGB', (6, 4)).save(tmp_path / 'colours.png')
    (tmp_path / 'mask.bmp').write_bytes(b'')
    (tmp_path / 'text.png').write_text('no image')
    for name, words in (
        ('high.png', 'labels of 4 x 6'),
        ('seven.png', r'expected labels below 2 or 255, got \[7\]'),
        ('colours.png', 'one channel'),
        ('text.png', r'^coarse mask: expected an image, got text\.png, which is none$'),
        ('mask.bmp', r'expected .png, .npy or .npz, got mask.bmp'),
    ):
        with pytest.raises(ValueError, match=words):
            read_mask(tmp_path / name, classes, given)
    with pytest.raises(ValueError, match='expected a file, got none'):
        read_mask(None, classes, given)
    with pytest.raises(ValueError, match='expected one, got none'):
        open_picture(None)
    with pytest.raises(ValueError, match=r'^picture: expected an image, got text\.png, which is none$'):
        open_picture(tmp_path / 'text.png')
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / 'deep.png')
    with pytest.raises(ValueError, match=r'^picture: expected an image of 8 bits'):
        open_picture(tmp_path / 'deep.png')
