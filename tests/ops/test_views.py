import pytest
import torch

from mmseg_g4seg.ops.views import View, crop_views, stride_views
from mmseg_g4seg.refiners.g4seg.questions import Answer, average_views

LABELS = torch.zeros(2, 4, dtype=torch.long)
LEFT = View(slice(0, 2), slice(0, 3))
RIGHT_MIRRORED = View(slice(0, 2), slice(1, 4), mirrored=True)


class TestViews:
    @pytest.mark.parametrize('size', [(7, 13), (2, 3), (1, 1), (64, 48)])
    @pytest.mark.parametrize('crops', [1, 2, 3, 5])
    def test_cover_the_image(self, size, crops):
        views = crop_views(size, crops)
        assert len(views) == crops**2
        seen = torch.zeros(size)
        for view in views:
            view.add_to(seen, 1.0)
        assert seen.min() >= 1

    def test_lie_from_edge_to_edge_and_are_of_one_size(self):
        views = crop_views((40, 80), 3)
        assert [(v.rows.start, v.columns.start) for v in views[:4]] == [(0, 0), (0, 10), (0, 20), (5, 0)]
        assert {view.of(torch.zeros(40, 80)).shape for view in views} == {(30, 60)}
        assert (views[-1].rows.stop, views[-1].columns.stop) == (40, 80)

    def test_neighbours_are_not_both_mirrored(self):
        assert [view.mirrored for view in crop_views((8, 8), 2)] == [False, True, True, False]
        assert not crop_views((8, 8), 1)[0].mirrored

    def test_what_a_view_shows_goes_back_where_it_was(self):
        image = torch.arange(8.0).view(2, 4)
        shown = RIGHT_MIRRORED.of(image)
        assert shown.tolist() == [[3, 2, 1], [7, 6, 5]]
        back = torch.zeros(2, 4)
        RIGHT_MIRRORED.add_to(back, shown)
        assert torch.equal(back, image * torch.tensor([0, 1, 1, 1]))


class TestAverage:
    def test_by_hand(self):
        pixels = torch.ones(2, 4, dtype=torch.bool)
        answers = [
            Answer(LEFT, [5], torch.full((1, 2, 3), 2.0)),
            Answer(LEFT, [8], torch.full((1, 2, 3), 4.0)),
            Answer(RIGHT_MIRRORED, [5], torch.tensor([[[9.0, 6.0, 4.0]] * 2])),
            Answer(RIGHT_MIRRORED, [8], torch.tensor([[[1.0, 2.0, 6.0]] * 2])),
        ]
        evidence = average_views(LABELS, {5: pixels, 7: pixels, 8: pixels}, answers)
        assert evidence.candidates == [5, 8]
        assert evidence.errors[:, 0].tolist() == [[2, 3, 4, 9], [4, 5, 3, 1]]
        assert evidence.open_to.shape == (2, 2, 4)

    def test_a_class_that_one_view_lacks(self):
        """A pixel's candidates are asked about in all the same views."""
        everywhere, left = torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, 4, dtype=torch.bool)
        left[:, 0] = True
        answers = [
            Answer(LEFT, [0], torch.ones(1, 2, 3)),
            Answer(LEFT, [1], torch.ones(1, 2, 3) * 3),
            Answer(LEFT, [2], torch.ones(1, 2, 3) * 5),
            Answer(RIGHT_MIRRORED, [0], torch.ones(1, 2, 3) * 2),
            Answer(RIGHT_MIRRORED, [1], torch.ones(1, 2, 3) * 7),
        ]
        evidence = average_views(LABELS, {0: everywhere, 1: everywhere, 2: left}, answers)
        assert evidence.errors[:, 0].tolist() == [[1, 1.5, 1.5, 2], [3, 5, 5, 7], [5, 5, 5, 0]]

    @pytest.mark.parametrize('open_to', [{}, {0: torch.ones(2, 4, dtype=torch.bool)}])
    def test_nothing_asked(self, open_to):
        evidence = average_views(LABELS, open_to, [])
        assert evidence.candidates == []
        assert evidence.errors.shape == evidence.open_to.shape == (0, 2, 4)


class TestStrideViews:
    def test_the_last_is_moved_back_to_the_edge(self):
        found = stride_views((80, 112), 64, 32)
        assert [(v.rows.start, v.columns.start) for v in found] == [(y, x) for y in (0, 16) for x in (0, 32, 48)]
        assert {(v.rows.stop - v.rows.start, v.columns.stop - v.columns.start) for v in found} == {(64, 64)}

    @pytest.mark.parametrize('size', [(64, 64), (8, 500), (1, 1), (97, 65)])
    def test_every_pixel_is_shown(self, size):
        count = torch.zeros(size)
        for view in stride_views(size, 64, 40):
            view.add_to(count, 1.0)
        assert count.min() >= 1

    def test_no_window_twice(self):
        assert len(stride_views((64, 128), 64, 32)) == 3
