import torch

from mmseg_g4seg.masks import decide_labels, merge_class_probs, present_classes, resize_maps


class TestPresentClasses:
    def test_known_values(self):
        label_map = torch.tensor([[0, 0, 2], [2, 3, 255]])
        assert present_classes(label_map, 4) == [0, 2, 3]
        assert present_classes(label_map, 4, background_index=0) == [2, 3]
        assert present_classes(label_map, 4, min_area=2 / 6) == [0, 2]
        assert present_classes(label_map, 3) == [0, 2]

    def test_nothing_labelled(self):
        assert present_classes(torch.full((3, 3), 255), 5) == []


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
