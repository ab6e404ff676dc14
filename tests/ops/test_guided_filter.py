import torch

from mmseg_g4seg.ops.guided_filter import guided_upsample


def test_follows_an_edge_that_the_coarse_grid_does_not_have():
    image = torch.zeros(3, 40, 48)
    image[:, :, 21:] = 1.0  # within a coarse cell
    coarse = torch.zeros(1, 10, 12)
    coarse[..., 5], coarse[..., 6:] = 0.75, 1.0
    fine = guided_upsample(coarse, image)
    assert fine.shape == (1, 40, 48)
    assert (fine[0, :, 20] < 0.25).all()
    assert (fine[0, :, 21] > 0.75).all()


def test_a_function_of_the_colour_comes_out_exactly():
    torch.manual_seed(0)
    image = torch.rand(3, 32, 32)
    image = torch.nn.functional.interpolate(image[None], (32, 32))[0]
    small = torch.nn.functional.avg_pool2d(image, 4)
    maps = torch.stack([small[0] - 2 * small[2] + 0.5, small[1]])
    expected = torch.stack([image[0] - 2 * image[2] + 0.5, image[1]])
    torch.testing.assert_close(guided_upsample(maps, image, epsilon=1e-9), expected, atol=1e-3, rtol=0)


def test_flat_image_gives_smooth_upsampling():
    maps = torch.rand(2, 6, 7)
    fine = guided_upsample(maps, torch.full((3, 24, 28), 0.3))
    assert torch.isfinite(fine).all()
    assert fine.min() >= maps.min() - 1e-4
    assert fine.max() <= maps.max() + 1e-4
    constant = guided_upsample(torch.full((1, 6, 7), 0.4), torch.rand(3, 24, 28))
    torch.testing.assert_close(constant, torch.full((1, 24, 28), 0.4), atol=1e-4, rtol=0)


def test_other_sizes():
    assert guided_upsample(torch.rand(1, 8, 8), torch.rand(3, 5, 100)).shape == (1, 5, 100)
    assert torch.isfinite(guided_upsample(torch.rand(1, 2, 2), torch.rand(3, 1, 1))).all()
