import torch

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate
from projects.experiments.limits.open_image import open_image
from projects.experiments.limits.oracles import (
    OracleMatches,
    TrueLayouts,
    best_matches,
    true_class_of_objects,
    true_extent_of_objects,
    true_shares,
    true_where_open,
)
from projects.experiments.run import ImageCase
from projects.experiments.tests.synthetic_pixels import make_pixels
from tests.conftest import IMAGE_SIZE, NAMES, random_case


def test_true_where_open():
    """Right already; wrong, and the truth open; wrong, and the truth closed."""
    open_to = [[True, True, True], [True, True, False]]
    pixels = make_pixels([[0.6] * 3, [0.4] * 3], torch.zeros(2, 3), [0, 1, 1], open_to=open_to)
    label_map = true_where_open(pixels)
    assert label_map.tolist() == [[0, 1, 0]]
    assert pixels.areas(label_map).tolist() == [[1, 1], [2, 1], [1, 2]]


def test_class_and_extent_of_objects():
    """Background 0. A cat taken for a dog; missed; invented; missed, and no object open there."""
    probs = [[0.1, 0.6, 0.2, 0.6], [0.3, 0.1, 0.2, 0.3], [0.6, 0.3, 0.6, 0.1]]
    open_to = [[True] * 4, [True, True, True, False], [True, True, True, False]]
    pixels = make_pixels(probs, torch.zeros(3, 4), [1, 1, 0, 1], open_to=open_to)
    assert pixels.coarse.label_map.tolist() == [[2, 0, 2, 0]]
    assert true_class_of_objects(pixels, 0).tolist() == [[1, 0, 2, 0]]
    assert true_extent_of_objects(pixels, 0).tolist() == [[2, 2, 0, 0]]


class TestMatches:
    def test_nearest_to_what_is_wanted(self):
        maps = torch.tensor([[[0.1, 0.5], [0.9, 0.4]]])
        wanted = torch.tensor([[[1.0, 0.0], [0.6, 0.43]]])
        torch.testing.assert_close(best_matches(maps, wanted), torch.tensor([[[0.9, 0.1], [0.5, 0.4]]]))

    def test_regions_of_one_layout_come_from_one_place(self):
        maps = torch.tensor([[[1.0, 0.0, 0.6]], [[1.0, 0.0, 0.3]]])
        wanted = torch.tensor([[[1.0, 0.0, 0.6]], [[0.0, 0.0, 0.3]]])
        torch.testing.assert_close(best_matches(maps, wanted)[:, 0, 0], torch.tensor([0.6, 0.3]))

    def test_shares_of_labelled_pixels(self):
        truth = torch.tensor([[0, 0, 1, 255, 255, 255], [0, 1, 1, 1, 255, 255]])
        shares = true_shares(truth, [1], 2, torch.full((1, 1, 3), 0.7))
        torch.testing.assert_close(shares, torch.tensor([[[0.25, 1.0, 0.7]]]))


class TestWithPrior:
    def open(self, prior, **options):
        image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
        update = CorrespondenceUpdate(**options)
        refiner = G4SegRefiner(prior, update=update, image_size=IMAGE_SIZE)
        truth = random_case(IMAGE_SIZE, IMAGE_SIZE, seed=1)[1].label_map.clone()
        truth[:4] = 255
        opened = open_image(refiner, ImageCase('a', image, coarse, truth), ClassList(NAMES))
        return OracleMatches(update, opened.truth, len(NAMES)), opened

    def test_true_layouts_show_the_truth(self, prior):
        _, image = self.open(prior)
        coarse, truth = image.coarse.label_map, image.truth
        placed = TrueLayouts(image.passes, truth).place(0, image.encoded, coarse, image.selected)
        merged = torch.cat([coarse[:4], truth[4:]])
        expected = image.passes.place(0, image.encoded, merged, image.selected)
        assert torch.equal(placed.region_masks, expected.region_masks)
        plain = image.passes.place(0, image.encoded, coarse, image.selected)
        assert not torch.equal(placed.region_masks, plain.region_masks)

    def test_best_matches_serve_the_truth(self, prior):
        update, image = self.open(prior, beta=0.0, confidence_range=(0.0, 1.0))
        refined = image.apply(update)
        before, after = (class_areas(m.label_map, image.truth, len(NAMES))[0].sum() for m in (image.coarse, refined))
        assert after > 1.3 * before

    def test_only_uncertain_pixels_move(self, prior):
        update, image = self.open(prior, beta=0.0, confidence_range=(0.4, 0.6))
        ((classes, updated),) = update(image.passes, [image.encoded], [image.coarse], [image.selected])
        probs = image.coarse.probs[list(classes)]
        certain = (probs < 0.4) | (probs > 0.6)
        assert torch.equal(updated[certain], probs[certain])
        assert not torch.equal(updated, probs)
