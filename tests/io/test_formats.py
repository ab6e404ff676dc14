import time

import numpy as np
import pytest
import torch

from mmseg_g4seg.io.formats import FORMATS, Reading, build_format
from mmseg_g4seg.io.mask_files import FileMask, make_prediction
from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import SIZE, random_prediction

OBJECT = ClassList(['background', 'cat'])
"""Two classes, so that every format can hold them."""


def converted(mask: FileMask, target: str, folder) -> FileMask:
    """Brings what a file holds into another format, as the folder tool does, and reads it back."""
    mask_format = build_format(target, OBJECT)
    path = folder / f'a{mask_format.suffix}'
    path.write_bytes(mask_format.encode(make_prediction(mask, SIZE, len(OBJECT), soften=0.01)))
    return mask_format.read(path)


@pytest.mark.parametrize('source', FORMATS)
@pytest.mark.parametrize('target', FORMATS)
def test_every_format_into_every_other(tmp_path, source, target):
    probs = random_prediction(classes=2).probs.clamp(0.05, 0.95)
    first = converted(FileMask(probs=probs / probs.sum(dim=0)), source, tmp_path)
    second = converted(first, target, tmp_path)
    sure = (probs[0] - probs[1]).abs() > 1e-2
    assert sure.float().mean() > 0.9
    for mask in (first, second):
        labels = mask.label_map if mask.label_map is not None else mask.probs.argmax(dim=0)
        assert torch.equal(labels[sure], probs.argmax(dim=0)[sure])
    if first.probs is not None and second.probs is not None:
        torch.testing.assert_close(second.probs, first.probs, atol=5e-3, rtol=0)


@pytest.mark.parametrize('name', FORMATS)
def test_the_same_bytes_at_another_time(monkeypatch, name):
    mask_format, prediction = build_format(name, OBJECT), random_prediction(classes=2)
    first = mask_format.encode(prediction)
    later = time.gmtime(time.time() + 1e6)
    monkeypatch.setattr(time, 'time', lambda: time.mktime(later))
    monkeypatch.setattr(time, 'localtime', lambda *_: later)
    monkeypatch.setattr(time, 'gmtime', lambda *_: later)
    monkeypatch.setattr(time, 'asctime', lambda *_: 'later')
    assert mask_format.encode(prediction) == first


def test_unknown_format():
    with pytest.raises(ValueError, match='index-png'):
        build_format('gif', OBJECT)


@pytest.mark.parametrize('soften', [-0.1, 1.1, float('nan')])
def test_softening_is_a_share_of_the_image(soften):
    with pytest.raises(ValueError, match='soften'):
        Reading('index-png', soften=soften)


class TestMakePrediction:
    LABELS = random_prediction().label_map
    PROBS = random_prediction().probs

    def test_labels_are_softened(self):
        prediction = make_prediction(FileMask(label_map=self.LABELS), SIZE, 4, soften=0.1)
        assert torch.equal(prediction.label_map, self.LABELS)
        assert torch.equal(prediction.probs.argmax(dim=0), self.LABELS)
        assert 0.25 < prediction.probs.amax(dim=0).min() < 0.8

    def test_scores_stay(self):
        prediction = make_prediction(FileMask(probs=self.PROBS), SIZE, 4, soften=0.1)
        assert prediction.probs is self.PROBS
        assert torch.equal(prediction.label_map, self.LABELS)

    def test_scores_of_another_grid_only_if_asked(self):
        with pytest.raises(ValueError, match='12 x 16'):
            make_prediction(FileMask(probs=self.PROBS), (12, 16), 4, soften=0.1)
        grown = make_prediction(FileMask(probs=self.PROBS), (12, 16), 4, soften=0.1, any_size=True).probs
        torch.testing.assert_close(grown.sum(dim=0), torch.ones(12, 16))
        corners = np.ix_(range(4), [0, -1], [0, -1])
        np.testing.assert_allclose(grown.numpy()[corners], self.PROBS.numpy()[corners], atol=1e-6)

    @pytest.mark.parametrize('grid', [(5, 4), (640, 480)])
    def test_scores_across_the_image_are_no_other_grid(self, grid):
        """Of a file in the order (classes, width, height): stretched, they went for a mask."""
        probs = torch.full((4, *grid), 0.25)
        with pytest.raises(ValueError, match=r'of an image of 12 x 16, got \d+ x \d+: are height and width exchanged'):
            make_prediction(FileMask(probs=probs), (12, 16), 4, soften=0.1, any_size=True)

    def test_a_square_grid_is_a_networks_own(self):
        found = make_prediction(FileMask(probs=torch.full((4, 8, 8), 0.25)), (12, 16), 4, soften=0.1, any_size=True)
        assert found.probs.shape == (4, 12, 16)

    def test_a_threshold_decides_labels_of_scores(self):
        probs = torch.tensor([0.3, 0.45, 0.25, 0.2, 0.6, 0.2, 0.5, 0.3, 0.2]).reshape(3, 3).T.reshape(3, 1, 3)
        classes = ClassList(['background', 'cat', 'dog'], threshold=0.5)
        for rule, expected in ((None, [1, 1, 0]), (classes, [0, 1, 0])):
            found = make_prediction(FileMask(probs=probs), (1, 3), 3, soften=0.1, classes=rule)
            assert found.label_map.tolist() == [expected]

    def test_labels_lie_on_the_images_grid(self):
        with pytest.raises(ValueError, match='labels of 12 x 16'):
            make_prediction(FileMask(label_map=self.LABELS), (12, 16), 4, soften=0.1, any_size=True)
