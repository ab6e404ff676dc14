import numpy as np
import pytest
from PIL import Image

from projects.demo.scenes.compose import CLASSES, PALETTE, draw_scene
from projects.demo.scenes.folder import write_split


def test_same_state_same_scene():
    first, second = (draw_scene(np.random.default_rng(3), 64) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    other = draw_scene(np.random.default_rng(4), 64)
    assert not np.array_equal(first[0], other[0])


def test_layout_of_a_scene():
    image, label_map = draw_scene(np.random.default_rng(0), 96)
    assert image.shape == (96, 96, 3)
    assert image.dtype == np.uint8
    assert label_map.shape == (96, 96)
    assert label_map.max() < len(CLASSES) == len(PALETTE) == len(set(PALETTE))


def test_every_class_occurs():
    found = set()
    for seed in range(60):
        found |= set(np.unique(draw_scene(np.random.default_rng(seed), 32)[1]).tolist())
    assert found == set(range(len(CLASSES)))


def test_labels_follow_the_picture():
    """Pixels differ more across a label border than inside a region."""
    across, inside = [], []
    for seed in range(8):
        image, labels = draw_scene(np.random.default_rng(seed), 64)
        step = np.abs(np.diff(image.astype(float), axis=1)).mean(-1)
        border = np.diff(labels.astype(int), axis=1) != 0
        across.append(step[border].mean())
        inside.append(step[~border].mean())
    assert np.mean(across) > 1.5 * np.mean(inside)


def test_too_small():
    with pytest.raises(ValueError, match='at least 32'):
        draw_scene(np.random.default_rng(0), 16)


def test_splits_are_disjoint_and_extend(tmp_path):
    assert len(list(write_split(tmp_path, 'val', 2, size=32))) == 2
    list(write_split(tmp_path, 'train', 2, size=32))
    read = lambda split, i: np.asarray(Image.open(tmp_path / 'images' / split / f'{i:05d}.png'))  # noqa: E731
    first = read('val', 0)
    assert not np.array_equal(first, read('train', 0))
    list(write_split(tmp_path, 'val', 4, size=32))
    assert np.array_equal(first, read('val', 0))
    assert (tmp_path / 'classes.txt').read_text().split('\n')[:-1] == list(CLASSES)
    assert not list(tmp_path.rglob('*.partial'))
