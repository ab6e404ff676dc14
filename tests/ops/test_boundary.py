import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.ops.boundary import boundary_areas, boundary_pixels


def by_distance(mask, width):
    """Pixels of a mask whose nearest pixel outside is at most `width` away, pixel by pixel."""
    height, length = mask.shape
    ring = [(y, x) for y in range(-1, height + 1) for x in range(-1, length + 1)]
    outside = [(y, x) for y, x in ring if not (0 <= y < height and 0 <= x < length and mask[y, x])]
    region = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        region[y, x] = min(max(abs(y - v), abs(x - u)) for v, u in outside) <= width
    return region


def by_erosion(mask, width):
    """A mask less itself eroded by 3 x 3, as often; beyond the image is outside: the authors' definition."""
    padded = np.pad(mask, 1)
    for _ in range(width):
        shifted = [np.roll(padded, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        padded = np.logical_and.reduce(shifted)
        padded[0], padded[-1], padded[:, 0], padded[:, -1] = 0, 0, 0, 0
    return mask & ~padded[1:-1, 1:-1]


def by_pooling(mask, width):
    """A mask where a maximum over its surroundings finds the outside."""
    outside = F.pad((~torch.from_numpy(mask)).float(), [width] * 4, value=1.0)[None, None]
    return mask & (F.max_pool2d(outside, 2 * width + 1, 1)[0, 0] > 0).numpy()


def blocks(rng, classes, height=12, length=15, size=4):
    """A label map of squares, cut to a size that they do not divide, with some pixels of other labels."""
    labels = np.kron(rng.integers(0, classes, (height // size + 1, length // size + 1)), np.ones((size, size), int))
    labels = labels[:height, :length]
    return np.where(rng.random(labels.shape) < 0.02, rng.integers(-1, classes + 1, labels.shape), labels)


@pytest.mark.parametrize('definition', [by_distance, by_erosion, by_pooling])
@pytest.mark.parametrize('width', [1, 2, 3, 5, 20])
def test_one_pass_finds_the_region_of_every_class(definition, width):
    labels = blocks(np.random.default_rng(width), 3)
    region = boundary_pixels(torch.from_numpy(labels), width).numpy()
    assert region.dtype == bool
    for c in range(3):
        assert np.array_equal(region & (labels == c), definition(labels == c, width))


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (2, 30)])
def test_images_narrower_than_the_boundary(shape):
    assert boundary_pixels(torch.zeros(shape, dtype=torch.long), 3).all()


def test_a_single_label_is_inside_but_at_the_image_border():
    region = boundary_pixels(torch.full((9, 11), 7, dtype=torch.uint8), 2)
    assert int((~region).sum()) == 5 * 7
    assert not region[2:-2, 2:-2].any()


@pytest.mark.parametrize('width', [0, -1])
def test_width_below_one(width):
    with pytest.raises(ValueError, match='width of 1 or more'):
        boundary_pixels(torch.zeros(3, 3), width)


def test_shapes():
    with pytest.raises(ValueError, match=r'\(1, 3, 3\)'):
        boundary_pixels(torch.zeros(1, 3, 3), 1)
    with pytest.raises(ValueError, match=r'\(4, 3\)'):
        boundary_areas(torch.zeros(4, 3), torch.zeros(3, 4), 2)


class TestAreas:
    @staticmethod
    def by_hand(labels, truth, classes, ignored):
        width = max(1, round(0.02 * float(np.hypot(*truth.shape))))
        counted = (truth != ignored) & (truth >= 0) & (truth < classes)
        columns = []
        for c in range(classes):
            predicted, labelled = (by_erosion(m, width) & counted for m in (labels == c, truth == c))
            columns.append([(predicted & labelled).sum(), predicted.sum(), labelled.sum()])
        return np.array(columns).T.tolist()

    @pytest.mark.parametrize('ignored', [255, 0])
    @pytest.mark.parametrize('seed', range(4))
    def test_by_hand(self, seed, ignored):
        """Boundaries 3 pixels wide; pixels without a label, and predictions that are no class."""
        rng = np.random.default_rng(seed)
        labels = blocks(rng, 4, 81, 107, size=20)
        truth = np.where(rng.random(labels.shape) < 0.001, 255, np.roll(labels, 2, axis=1))
        truth[:7], truth[labels == -1] = 255, 0
        areas = boundary_areas(torch.from_numpy(labels), torch.from_numpy(truth), 5, ignored)
        assert areas.dtype == torch.int64
        assert areas.tolist() == self.by_hand(labels, truth, 5, ignored)

    def test_small_integers_count_like_large_ones(self):
        labels, truth = (torch.randint(0, 3, (9, 9), dtype=torch.uint8) for _ in range(2))
        assert torch.equal(boundary_areas(labels, truth, 3), boundary_areas(labels.long(), truth.long(), 3))

    def test_perfect_masks_and_missing_classes(self):
        labels = torch.zeros(40, 50, dtype=torch.long)
        labels[10:30, 10:30] = 2
        areas = boundary_areas(labels, labels, 4)
        assert torch.equal(areas[0], areas[1])
        assert torch.equal(areas[0], areas[2])
        assert areas[:, [1, 3]].sum() == 0
        assert areas[0, 2] == 20 * 20 - 18 * 18

    def test_nothing_labelled(self):
        assert boundary_areas(torch.zeros(5, 5, dtype=torch.long), torch.full((5, 5), 255), 3).sum() == 0
