import pytest
import torch

from mmseg_g4seg.ops.superpixels import average_regions, superpixels


def two_colours(height=24, width=40, border=17) -> torch.Tensor:
    image = torch.zeros(3, height, width)
    image[0, :, border:] = 1.0
    return image


def test_no_region_crosses_a_border():
    """Whatever the grid: 17 is no multiple of a side."""
    image = two_colours()
    regions = superpixels(image, side=8.0, compactness=20.0)
    assert regions.shape == (24, 40)
    assert 10 <= len(regions.unique()) <= 15
    assert not set(regions[:, :17].unique().tolist()) & set(regions[:, 17:].unique().tolist())
    flat = average_regions(image[:1], regions)
    assert torch.equal(flat, image[:1])


def test_without_colour_they_are_squares():
    regions = superpixels(torch.rand(3, 12, 18), side=6.0, compactness=1e6)
    assert regions.tolist() == [[y // 6 * 3 + x // 6 for x in range(18)] for y in range(12)]


@pytest.mark.parametrize('size', [(1, 1), (3, 200), (7, 5)])
def test_any_size(size):
    regions = superpixels(torch.rand(3, *size), side=6.0, compactness=10.0)
    assert regions.shape == size
    assert regions.min() >= 0


def test_averages_by_a_plain_loop():
    regions, maps = torch.randint(0, 5, (6, 7)), torch.rand(2, 6, 7)
    regions[regions == 3] = 4  # a number without a pixel
    found = average_regions(maps, regions)
    for number in regions.unique().tolist():
        own = regions == number
        for values, average in zip(maps, found, strict=True):
            torch.testing.assert_close(average[own], values[own].mean().expand(int(own.sum())))
