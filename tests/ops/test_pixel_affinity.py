import pytest
import torch

from mmseg_g4seg.ops.pixel_affinity import neighbour_affinity, pixel_adaptive_average


def by_definition(image, maps, dilations, std_factor=0.1):
    """One iteration, pixel by pixel, as the paper writes it; borders repeat."""
    height, width = image.shape[1:]
    result = torch.zeros_like(maps)
    for y in range(height):
        for x in range(width):
            places = [
                (min(max(y + dy * d, 0), height - 1), min(max(x + dx * d, 0), width - 1))
                for d in dilations
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            ]
            around = torch.stack([image[:, i, j] for i, j in places])  # (9 D, 3), the pixel itself once a dilation
            deviation = around.std(dim=0)
            others = [p for n, p in enumerate(places) if n % 9 != 4]
            distance = torch.stack(
                [((image[:, i, j] - image[:, y, x]).abs() / (1e-8 + std_factor * deviation)).mean() for i, j in others]
            )
            weights = (-distance).softmax(0)
            result[:, y, x] = sum(w * maps[:, i, j] for w, (i, j) in zip(weights, others, strict=True))
    return result


@pytest.mark.parametrize(('dilations', 'std_factor'), [((1,), 0.1), ((1, 2), 0.1), ((2, 6), 0.1), ((1,), 0.2)])
def test_one_iteration_by_definition(dilations, std_factor):
    torch.manual_seed(0)
    image, maps = torch.rand(3, 6, 8), torch.rand(2, 6, 8)
    averaged = pixel_adaptive_average(image, maps, dilations, 1, std_factor=std_factor)
    torch.testing.assert_close(averaged, by_definition(image, maps, dilations, std_factor))


def test_iterations_repeat_it():
    torch.manual_seed(0)
    image, maps = torch.rand(3, 6, 8), torch.rand(2, 6, 8)
    twice = by_definition(image, by_definition(image, maps, (1, 2)), (1, 2))
    torch.testing.assert_close(pixel_adaptive_average(image, maps, (1, 2), 2), twice)


def test_strips_give_the_same():
    torch.manual_seed(0)
    image, maps = torch.rand(3, 23, 17), torch.rand(4, 23, 17)
    whole = pixel_adaptive_average(image, maps, (1, 5), 4)
    for rows in (1, 4, 22):
        strips = pixel_adaptive_average(image, maps, (1, 5), 4, memory_limit=rows * 4 * 16 * 17)
        torch.testing.assert_close(strips, whole)


def test_affinity_sums_to_one_and_needs_no_scale():
    torch.manual_seed(0)
    image = torch.rand(3, 7, 9)
    affinity = neighbour_affinity(image, (1, 2), 2, 5)
    assert affinity.shape == (16, 3, 9)
    torch.testing.assert_close(affinity.sum(0), torch.ones(3, 9))
    torch.testing.assert_close(neighbour_affinity(image * 255 - 10, (1, 2), 2, 5), affinity, atol=1e-4, rtol=1e-3)


def test_flat_image_averages_evenly():
    maps = torch.rand(2, 5, 5)
    averaged = pixel_adaptive_average(torch.full((3, 5, 5), 0.5), maps, (1,), 1)
    assert torch.isfinite(averaged).all()
    around = torch.cat([maps[:, 1:4, 1:4].flatten(1)[:, :4], maps[:, 1:4, 1:4].flatten(1)[:, 5:]], dim=1)
    torch.testing.assert_close(averaged[:, 2, 2], around.mean(1))


def test_follows_the_image_edge():
    image = torch.zeros(3, 12, 12)
    image[:, :, 6:] = 1.0
    probs = torch.full((1, 12, 12), 0.5)
    probs[:, :, :5], probs[:, :, 7:] = 0.9, 0.1
    averaged = pixel_adaptive_average(image, probs, (1, 2), 10)
    assert (averaged[0, :, 5] > 0.6).all()
    assert (averaged[0, :, 6] < 0.4).all()
