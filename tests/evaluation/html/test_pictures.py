import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.evaluation.html.extremes import Extremes, extreme_records
from mmseg_g4seg.evaluation.html.pictures import BUDGET, OTHER, RIGHT, WRONG, draw_picture
from mmseg_g4seg.evaluation.records import COARSE, REFINED, measure_image
from mmseg_g4seg.prediction import ClassList
from tests.evaluation.html.scenes import CLASSES, draw_scene

TWO = ClassList(['background', 'fish', 'cat'], palette=[(0, 0, 0), (200, 20, 30), (10, 220, 40)])


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def draw(coarse, refined, truth, image=None, classes=TWO):
    maps = {COARSE: torch.tensor(coarse), REFINED: torch.tensor(refined)}
    record = measure_image('a.png', maps, torch.tensor(truth), len(classes))
    return draw_picture(record, image, maps, torch.tensor(truth), classes, ignore_index=255)


def test_layers_pixel_by_pixel():
    picture = draw([[0, 0, 1, 1, 2, -1]], [[1, 0, 0, 1, 0, 1]], [[1, 1, 1, 255, 1, 1]])
    coarse, changes, truth = (decoded(picture.layers[name])[0] for name in ('coarse', 'changes', 'truth'))
    assert coarse[:2, 3].tolist() == [0, 0], 'the background is not painted'
    assert coarse[2, :3].tolist() == [200, 20, 30]
    assert coarse[4, :3].tolist() == [10, 220, 40]
    assert 0 < coarse[2, 3] < coarse[3, 3], 'the border is opaque, a region lets the photograph through'
    assert coarse[5].tolist() == truth[3].tolist(), 'pixels of no class are grey, in a mask and in the truth'
    assert changes[0, :3].tolist() == list(RIGHT)
    assert changes[2, :3].tolist() == list(WRONG)
    assert changes[4, :3].tolist() == list(OTHER)
    assert changes[[1, 3], 3].tolist() == [0, 0], 'unchanged; without a label'
    assert changes[5, :3].tolist() == list(RIGHT)
    assert (picture.put_right, picture.made_wrong) == (pytest.approx(40), pytest.approx(20))
    assert picture.classes == [('fish', '#c8141e'), ('cat', '#0adc28')]
    assert picture.photo == ''


def test_large_and_noisy_stays_in_its_budget():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (250, 450, 3), np.uint8)
    maps = generator.integers(0, 3, (3, 250, 450))
    picture = draw(*maps.tolist(), image=image)
    files = [picture.photo, *picture.layers.values()]
    assert sum(len(base64.b64decode(file)) for file in files) <= BUDGET
    assert len({decoded(file).shape[:2] for file in files}) == 1
    assert picture.size[0] / picture.size[1] == pytest.approx(1.8, abs=0.02)
    assert set(np.unique(decoded(picture.layers['truth'])[..., 0])) <= {0, 10, 200}, 'labels are not mixed'


def test_photograph_is_the_image():
    image, maps, truth = draw_scene(0, (80, 60))
    record = measure_image('0.png', maps, truth, len(CLASSES))
    picture = draw_picture(record, image, maps, truth, CLASSES, ignore_index=255)
    assert np.abs(decoded(picture.photo).astype(int) - image).mean() < 4
    assert (picture.before, picture.after) == record.before_after
    assert ('sun & moon', '#f0f078') in picture.classes


def test_more_classes_than_colours_of_a_byte():
    classes = ClassList([f'class {i}' for i in range(300)])
    picture = draw([[299, 5]], [[299, 299]], [[299, 299]], classes=classes)
    assert [name for name, _ in picture.classes] == ['class 5', 'class 299']


def records_of(gains):
    """Records whose gain falls with the share of pixels that the refined mask has wrong."""
    records = []
    for i, gain in enumerate(gains):
        truth = torch.zeros(1, 100, dtype=torch.long)
        coarse, refined = truth.clone(), truth.clone()
        (refined if gain < 0 else coarse)[0, : abs(gain)] = 1
        records.append((measure_image(f'{i:02d}.png', {COARSE: coarse, REFINED: refined}, truth, 3), coarse, refined))
    return records


class TestExtremes:
    GAINS = (3, -5, 0, 40, 7, -1, 7, 7, -20, 12, -5)

    def kept(self, cases, count):
        extremes = Extremes(count)
        for record, coarse, refined in cases:
            if extremes.wants(record):
                maps, truth = {COARSE: coarse, REFINED: refined}, torch.zeros_like(coarse)
                extremes.add([draw_picture(record, None, maps, truth, TWO, ignore_index=255)])
            assert len(extremes.pictures) <= 2 * count
        return extremes

    def test_the_largest_changes_in_whatever_order_they_come(self):
        cases = records_of(self.GAINS)
        expected = [record.name for record in extreme_records([case[0] for case in cases], 3)]
        assert expected == ['03.png', '09.png', '04.png', '08.png', '01.png', '10.png']
        for order in (cases, cases[::-1], sorted(cases, key=lambda case: case[0].before_after[1])):
            assert [picture.name for picture in self.kept(order, 3).pictures] == expected

    def test_processes_keep_together_what_one_would(self):
        cases = records_of(self.GAINS)
        shares = [self.kept(cases[rank::3], 2) for rank in range(3)]
        together = Extremes(2)
        for share in shares:
            together.add(share.pictures)
            together.add(share.pictures[:1])  # dealt twice
        assert together.pictures == self.kept(cases, 2).pictures

    def test_none_where_none_are_asked_for_or_nothing_is_labelled(self):
        case = records_of([10])[0]
        assert not Extremes(0).wants(case[0])
        unlabelled = torch.full((1, 100), 255)
        assert not Extremes(2).wants(measure_image('a', {COARSE: case[1], REFINED: case[2]}, unlabelled, 3))
        with pytest.raises(ValueError, match='expected 0 or more, got -1'):
            Extremes(-1)
