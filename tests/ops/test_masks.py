import pytest
import torch

from mmseg_g4seg.ops.masks import (
    decide_labels,
    merge_class_probs,
    over_under_regions,
    present_classes,
    resize_maps,
    soften_labels,
)


class TestPresentClasses:
    def test_known_values(self):
        label_map = torch.tensor([[0, 0, 2], [2, 3, 255]])
        assert present_classes(label_map, 4) == [0, 2, 3]
        assert present_classes(label_map, 4, background_index=0) == [2, 3]
        assert present_classes(label_map, 4, min_area=2 / 6) == [0, 2]
        assert present_classes(label_map, 3) == [0, 2]

    def test_nothing_labelled(self):
        assert present_classes(torch.full((3, 3), 255), 5) == []


class TestOverUnderRegions:
    def test_known_values(self):
        label_map = torch.tensor([[1, 1, 0, 0, 1]])
        truth = torch.tensor([[1, 2, 1, 0, 255]])
        over, under = over_under_regions(label_map, truth, 1)
        assert over.tolist() == [[False, True, False, False, False]]
        assert under.tolist() == [[False, False, True, False, False]]

    def test_shapes_that_differ(self):
        with pytest.raises(ValueError, match=r'expected labels \(1, 5\) as the truth has, got \(1, 4\)'):
            over_under_regions(torch.zeros(1, 4).long(), torch.zeros(1, 5).long(), 1)


class TestResizeMaps:
    def test_shrinking_averages(self):
        maps = torch.tensor([[0.0, 1.0], [1.0, 1.0]])[None]
        assert resize_maps(maps, (1, 1)).item() == 0.75

    def test_same_size_is_the_same_tensor(self):
        maps = torch.rand(2, 3, 4)
        assert resize_maps(maps, (3, 4)) is maps

    def test_extreme_shapes_keep_range(self):
        for shape in ((1, 1), (7, 2000), (2000, 7)):
            resized = resize_maps(torch.rand(2, *shape), (16, 16))
            assert resized.shape == (2, 16, 16)
            assert 0 <= resized.min() <= resized.max() <= 1


class TestMerge:
    def test_unchanged_pixels_stay_bit_identical(self):
        probs = torch.rand(4, 5, 6).softmax(0)
        updated = probs[[1, 2]].clone()
        updated[0, 2, 3] += 0.2
        merged = merge_class_probs(probs, [1, 2], updated)
        changed = torch.zeros(5, 6, dtype=torch.bool)
        changed[2, 3] = True
        assert torch.equal(merged[:, ~changed], probs[:, ~changed])
        torch.testing.assert_close(merged[:, 2, 3].sum(), torch.tensor(1.0))
        expected = probs[:, 2, 3].clone()
        expected[1] += 0.2
        torch.testing.assert_close(merged[:, 2, 3], expected / expected.sum())

    def test_no_class(self):
        probs = torch.rand(3, 2, 2)
        assert torch.equal(merge_class_probs(probs, [], probs[:0]), probs)


class TestDecide:
    def test_argmax(self):
        probs = torch.tensor([0.5, 0.2, 0.3])[:, None, None]
        assert decide_labels(probs).item() == 0

    def test_background_threshold(self):
        probs = torch.tensor([[0.6, 0.6], [0.3, 0.1], [0.1, 0.3]])[:, None]
        labels = decide_labels(probs, background_index=0, background_threshold=0.25)
        assert labels.tolist() == [[1, 2]]
        assert decide_labels(probs, background_index=0, background_threshold=0.4).tolist() == [[0, 0]]


class TestSoftenLabels:
    LABELS = torch.tensor([[0] * 8 + [2] * 8] * 12)

    def test_a_gaussian_across_the_border(self):
        probs = soften_labels(self.LABELS, 4, 2.0)
        assert probs.shape == (4, 12, 16)
        offsets = torch.arange(-6.0, 7.0)
        kernel = torch.exp(-(offsets**2) / 8)
        padded = torch.cat([torch.ones(6), torch.ones(8), torch.zeros(8), torch.zeros(6)])
        expected = torch.stack([(padded[i : i + 13] * kernel).sum() / kernel.sum() for i in range(16)])
        torch.testing.assert_close(probs[0], expected.expand(12, 16), atol=5e-4, rtol=0)
        torch.testing.assert_close(probs[2], 1 - probs[0])
        assert not probs[[1, 3]].any()

    def test_no_deviation_is_sure(self):
        assert torch.equal(soften_labels(self.LABELS, 4, 0).argmax(0), self.LABELS)
        assert soften_labels(self.LABELS, 4, 0).unique().tolist() == [0, 1]

    def test_own_label_stays_the_most_probable(self):
        torch.manual_seed(0)
        labels = torch.randint(0, 5, (13, 17))  # all of it thinner than the Gaussian
        for deviation in (0.1, 1.0, 5.0, 100.0):
            probs = soften_labels(labels, 5, deviation)
            assert torch.equal(probs.argmax(0), labels)
            torch.testing.assert_close(probs.sum(0), torch.ones(13, 17))
            assert probs.min() >= 0
            assert probs.max() <= 1

    def test_unlabelled_pixels_have_no_say(self):
        labels = self.LABELS.clone()
        labels[:, 8:], labels[0, 0] = 255, -1
        probs = soften_labels(labels, 4, 1.0)
        assert (probs[0, :, :8] == 1).all()  # whatever lies beside them
        torch.testing.assert_close(probs[:, :, 8], torch.tensor([1.0, 0, 0, 0])[:, None].expand(4, 12))
        assert (probs[:, :, 13:] == 0.25).all()
        torch.testing.assert_close(probs.sum(0), torch.ones(12, 16))

    def test_nothing_labelled(self):
        for deviation in (0, 3.0):
            assert (soften_labels(torch.full((4, 5), 255), 8, deviation) == 1 / 8).all()

    def test_one_pixel(self):
        assert soften_labels(torch.tensor([[1]]), 2, 50.0).flatten().tolist() == [0, 1]
