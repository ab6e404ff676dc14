"""Windows of an image at the model's size; X maps, H W image size, h w a window's."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.coarse.sliding import WINDOWS_AT_ONCE, Sliding, slide


def test_windows_that_overlap_are_averaged():
    """Each window scores its own number everywhere."""
    numbers = iter(range(3))
    sliding = Sliding((128, 64), (64, 32), 8)

    def score(windows):
        assert windows.shape[1:] == (3, 64, 64)
        return torch.tensor([next(numbers) for _ in windows]).float().view(-1, 1, 1, 1).expand(-1, 2, 8, 8)

    found = slide(torch.rand(3, 64, 128), sliding, score)
    expected = torch.tensor([0, 0.5, 1.5, 2]).repeat_interleave(32)  # of columns
    assert found.equal(expected.expand(2, 64, 128))


def test_the_picture_comes_back():
    image = torch.rand(3, 64, 256)
    assert len(range(0, 256 - 64, 8)) > WINDOWS_AT_ONCE
    torch.testing.assert_close(slide(image, Sliding((256, 64), (64, 8), 8), lambda windows: windows), image)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((500, 375), (448, 336)),
        ((1024, 2048), (336, 672)),
        ((100, 900), (228, 2048)),
        # below a window sides are multiples of the patch: 7 x 2048 would have none
        ((7, 2000), (16, 2048)),
        ((80, 900), (176, 2048)),
        ((1, 1), (336, 336)),
    ],
)
def test_sizes_are_mmsegs_where_a_window_fits(size, expected):
    assert Sliding((2048, 336), (224, 112), 16).size(*size) == expected


def test_the_whole_image_is_a_multiple_of_the_patch():
    assert Sliding((2048, 336), None, 16).size(375, 500) == (336, 448)
    assert Sliding((2048, 336), None, 16).size(333, 500) == (336, 512)


def test_a_photograph_shrinks_smoothly():
    """A checkerboard of single pixels is grey; every second pixel would be white."""
    board = (torch.arange(128)[:, None] + torch.arange(128)) % 2
    found = slide(board.float().expand(3, 128, 128), Sliding((64, 64), None, 8), lambda windows: windows)
    torch.testing.assert_close(found[:, 8:-8, 8:-8], torch.full((3, 112, 112), 0.5), atol=0.02, rtol=0)


def test_one_window_of_the_image_itself():
    asked = []
    image = torch.rand(3, 64, 96)
    slide(image, Sliding((96, 64), None, 8), lambda windows: asked.append(windows) or F.avg_pool2d(windows, 8))
    assert len(asked) == 1
    torch.testing.assert_close(asked[0], image[None])
