from collections import Counter

import pytest
import torch

from mmseg_g4seg.prediction import Prediction
from projects.experiments.acceptance_check import count_decisions, iou_rises, summarise_decisions


def labelled(values):
    label_map = torch.tensor([values])
    return Prediction(torch.full((3, *label_map.shape), 1 / 3), label_map)


class TestRises:
    def test_each_class_by_what_it_gained_alone(self):
        """Class 1 gains a pixel of its own: 1/2 -> 1; class 2 gains one of class 0: 1 -> 1/2."""
        before, after = labelled([0, 0, 1, 0, 2]), labelled([0, 2, 1, 1, 2])
        rises = iou_rises(before, after, torch.tensor([[0, 0, 1, 1, 2]]))
        assert rises == pytest.approx({1: 0.5, 2: -0.5})

    def test_a_class_that_is_not_there(self):
        rises = iou_rises(labelled([0, 0]), labelled([0, 1]), torch.tensor([[0, 0]]))
        assert rises == {1: -1.0}

    def test_unlabelled_pixels_change_nothing(self):
        rises = iou_rises(labelled([0, 0]), labelled([0, 1]), torch.tensor([[0, 255]]))
        assert rises == {1: 0.0}
        assert iou_rises(labelled([0, 1]), labelled([0, 1]), torch.tensor([[0, 1]])) == {}


class TestDecisions:
    def test_every_kind(self):
        error_rises = {0: -1.0, 1: -1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 0.0}
        rises = {0: 0.2, 1: -0.2, 2: -0.1, 3: 0.1, 4: 0.0, 5: 0.3}
        assert count_decisions(error_rises, rises) == Counter(
            right_accepts=2, wrong_accepts=1, right_rejects=1, wrong_rejects=1
        )

    def test_summary_against_accepting_always(self):
        counts = [
            Counter(right_accepts=3, right_rejects=2),
            Counter(wrong_accepts=1, wrong_rejects=1, right_accepts=1),
            Counter(),
        ]
        found = summarise_decisions(counts)
        assert (found['right_accepts'], found['wrong_accepts']) == (4, 1)
        assert (found['right_rejects'], found['wrong_rejects']) == (2, 1)
        assert found['right']['share'] == pytest.approx(75)
        assert found['always']['share'] == pytest.approx(62.5)
        assert found['gain']['share'] == pytest.approx(12.5)
        assert found['gain']['low'] < 0 < found['gain']['high']
