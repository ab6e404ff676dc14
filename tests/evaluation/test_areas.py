import numpy as np
import pytest
import torch

from mmseg_g4seg.evaluation.areas import class_areas, class_iou, mean_iou

CLASSES = 5


def random_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and truth, both with values that are no class."""
    generator = np.random.default_rng(seed)
    return generator.choice([-1, 0, 1, 2, 3, 5, 255], (20, 30)), generator.choice([-1, 0, 1, 2, 4, 7, 255], (20, 30))


def by_hand(predicted: np.ndarray, truth: np.ndarray, ignored: int) -> list[list[int]]:
    counted = (truth != ignored) & (truth >= 0) & (truth < CLASSES)
    return [
        [int(((predicted == c) & (truth == c) & counted).sum()) for c in range(CLASSES)],
        [int(((predicted == c) & counted).sum()) for c in range(CLASSES)],
        [int(((truth == c) & counted).sum()) for c in range(CLASSES)],
    ]


@pytest.mark.parametrize('ignored', [255, 0, 2])
@pytest.mark.parametrize('seed', range(3))
def test_areas_by_hand(seed, ignored):
    predicted, truth = random_pair(seed)
    areas = class_areas(torch.from_numpy(predicted), torch.from_numpy(truth), CLASSES, ignored)
    assert areas.dtype == torch.int64
    assert areas.tolist() == by_hand(predicted, truth, ignored)


def test_a_prediction_outside_the_classes_is_a_miss():
    areas = class_areas(torch.tensor([[0, 255, 77, -1]]), torch.zeros(1, 4, dtype=torch.long), 2)
    assert areas.tolist() == [[1, 0], [1, 0], [4, 0]]
    assert class_iou(areas)[0] == 0.25


def test_small_integers_count_like_large_ones():
    predicted, truth = (torch.randint(0, CLASSES, (9, 9), dtype=torch.uint8) for _ in range(2))
    assert torch.equal(class_areas(predicted, truth, CLASSES), class_areas(predicted.long(), truth.long(), CLASSES))


def test_nothing_labelled():
    areas = class_areas(torch.zeros(2, 2, dtype=torch.long), torch.full((2, 2), 255), 3)
    assert areas.tolist() == [[0] * 3] * 3
    assert class_iou(areas).isnan().all()
    assert mean_iou(areas).isnan()


def test_shapes_differ():
    with pytest.raises(ValueError, match=r'\(2, 3\)'):
        class_areas(torch.zeros(3, 2, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long), 3)


def test_mean_over_images_by_hand():
    pairs = [random_pair(seed) for seed in range(4)]
    areas = torch.stack([class_areas(torch.from_numpy(p), torch.from_numpy(t), CLASSES) for p, t in pairs])
    predicted, truth = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    counted = (truth >= 0) & (truth < CLASSES)
    predicted, truth = predicted[counted], truth[counted]
    iou = [((predicted == c) & (truth == c)).sum() / ((predicted == c) | (truth == c)).sum() for c in range(CLASSES)]
    np.testing.assert_allclose(class_iou(areas.sum(dim=0)), iou)
    assert 3 not in truth  # predicted, but nowhere labelled: no part of the mean
    np.testing.assert_allclose(mean_iou(areas.sum(dim=0)), np.mean([iou[c] for c in (0, 1, 2, 4)]))
    np.testing.assert_allclose(mean_iou(areas.sum(dim=0), [0, 3]), np.mean([iou[0], 0]))
    for image, found in zip(areas, mean_iou(areas), strict=True):
        torch.testing.assert_close(mean_iou(image), found)


def test_classes_without_any_area_do_not_count():
    areas = torch.tensor([[2, 0, 0], [4, 0, 0], [4, 0, 0]])
    assert class_iou(areas)[0] == 1 / 3
    assert mean_iou(areas) == mean_iou(areas, [0, 1]) == 1 / 3
