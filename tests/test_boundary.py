import numpy as np
import torch

from mmseg_g4seg.boundary import boundary_areas, boundary_region


def erode(mask, times):
    """Erosion by 3 x 3, as often; beyond the image is outside: the authors' definition, written plainly."""
    padded = np.pad(mask, 1)
    for _ in range(times):
        shifted = [np.roll(padded, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        padded = np.logical_and.reduce(shifted)
        padded[0], padded[-1], padded[:, 0], padded[:, -1] = 0, 0, 0, 0
    return padded[1:-1, 1:-1]


def test_region_by_erosion():
    masks = np.random.default_rng(0).random((3, 30, 40)) > 0.02
    for width in (1, 2, 4):
        region = boundary_region(torch.from_numpy(masks), width).numpy()
        expected = np.stack([mask & ~erode(mask, width) for mask in masks])
        assert np.array_equal(region, expected)


def test_areas_by_hand():
    rng = np.random.default_rng(1)
    labels = np.kron(rng.integers(0, 4, (4, 5)), np.ones((20, 20), int))
    truth = np.roll(labels, 2, axis=1)
    truth[:7] = 255
    areas = boundary_areas(torch.from_numpy(labels), torch.from_numpy(truth), 5)
    width = round(0.02 * float(np.hypot(80, 100)))
    for c in range(5):
        regions = [m & ~erode(m, width) & (truth != 255) for m in (labels == c, truth == c)]
        expected = [(regions[0] & regions[1]).sum(), regions[0].sum(), regions[1].sum()]
        assert areas[:, c].tolist() == expected


def test_perfect_masks_and_missing_classes():
    labels = torch.zeros(40, 50, dtype=torch.long)
    labels[10:30, 10:30] = 2
    areas = boundary_areas(labels, labels, 4)
    assert torch.equal(areas[0], areas[1])
    assert torch.equal(areas[0], areas[2])
    assert areas[:, [1, 3]].sum() == 0
    assert areas[0, 2] == 20 * 20 - 18 * 18
