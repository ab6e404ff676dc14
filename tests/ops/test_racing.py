import pytest
import torch

from mmseg_g4seg.ops.racing import connected_parts, keep_leaders, pack_parts, read_answers, update_means


def masks(*rows: str) -> torch.Tensor:
    """(N, h, w) bool of texts, one a mask, lines parted by spaces."""
    return torch.tensor([[[cell == '#' for cell in line] for line in text.split()] for text in rows])


class TestMeans:
    def test_all_asked_gives_the_plain_mean(self):
        errors = torch.rand(5, 3, 4, 6)
        means = torch.zeros(3, 4, 6)
        for count, own in enumerate(errors, start=1):
            means = update_means(means, own, torch.ones_like(own, dtype=torch.bool), count)
        torch.testing.assert_close(means, errors.mean(dim=0))

    def test_who_is_not_asked_keeps_its_distance(self):
        means = torch.tensor([1.0, 2.0, 5.0])[:, None, None]
        asked = torch.tensor([True, True, False])[:, None, None]
        found = update_means(means, torch.tensor([3.0, 6.0, 99.0])[:, None, None], asked, 2)
        # steps of 1 and 2, and their mean for the third
        assert found.flatten().tolist() == [2.0, 4.0, 6.5]

    def test_nothing_asked_changes_nothing(self):
        means = torch.rand(3, 2, 2)
        assert torch.equal(update_means(means, torch.zeros_like(means), torch.zeros(3, 2, 2).bool(), 2), means)


class TestLeaders:
    def test_by_hand(self):
        posterior = torch.tensor([[0.1, 0.5], [0.6, 0.2], [0.3, 0.3]])[:, None]
        open_to = torch.tensor([[True, False], [True, True], [True, True]])[:, None]
        assert keep_leaders(posterior, open_to, 1)[:, 0].tolist() == [[False, False], [True, False], [False, True]]
        assert keep_leaders(posterior, open_to, 2)[:, 0].tolist() == [[False, False], [True, True], [True, True]]

    def test_of_equal_ones_the_first_stay(self):
        assert keep_leaders(torch.zeros(3, 1, 1), torch.ones(3, 1, 1).bool(), 2).flatten().tolist() == [1, 1, 0]


class TestParts:
    def test_corners_connect_and_a_spiral_is_one(self):
        spiral = '##### ....# ###.# #...# #####'
        rows, parts = connected_parts(masks(spiral, '#...# .#... ..... #.... #....', '..... ..... ..... ..... .....'))
        assert rows.tolist() == [0, 1, 1, 1]
        assert torch.equal(parts[0], masks(spiral)[0])
        assert sorted(parts[1:].flatten(1).sum(1).tolist()) == [1, 2, 2]

    def test_as_scipy_finds_them(self):
        ndimage = pytest.importorskip('scipy.ndimage')
        (mask,) = cells = torch.rand(1, 24, 31) < 0.45
        labels, count = ndimage.label(mask.numpy(), structure=torch.ones(3, 3).numpy())
        _, parts = connected_parts(cells)
        assert len(parts) == count
        expected = {tuple((torch.as_tensor(labels) == i).flatten().tolist()) for i in range(1, count + 1)}
        assert {tuple(part.flatten().tolist()) for part in parts} == expected


class TestPacking:
    def test_parts_that_do_not_overlap_share_a_layout(self):
        layouts = pack_parts(masks('###... ###...', '...... ...##.', '.##... ......'))
        assert layouts.tolist() == [[[0, 0, 0, -1, -1, -1], [0, 0, 0, 1, 1, -1]], [[-1, 2, 2, -1, -1, -1], [-1] * 6]]

    def test_nothing_contested(self):
        assert pack_parts(torch.zeros(3, 2, 2, dtype=torch.bool)).shape == (0, 2, 2)

    def test_every_candidate_is_tried_once_where_it_is_contested(self):
        contested = torch.rand(5, 16, 16) < 0.3
        layouts = pack_parts(contested)
        tried = torch.stack([(layouts == n).sum(dim=0) for n in range(5)])
        assert torch.equal(tried, contested.long())
        assert len(layouts) >= contested.sum(dim=0).max()

    def test_answers_go_to_their_candidates(self):
        contested = torch.rand(4, 8, 8) < 0.4
        layouts = pack_parts(contested)
        truth = torch.rand(4, 8, 8)
        answers = truth.gather(0, layouts.clamp_min(0))
        errors, asked = read_answers(layouts, answers, 4)
        assert torch.equal(asked, contested)
        torch.testing.assert_close(errors, truth * contested)
