"""Coarse masks from images of any library; C classes, H W image size."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg import CoarseSource, Prediction, load_refiner, load_source
from mmseg_g4seg.hosts.sources import ImageSource
from tests.conftest import random_case

CLASSES = ['background', 'sky', 'tree']
IMAGE = random_case(20, 28)[0]
PIXELS = (IMAGE.permute(1, 2, 0) * 255).byte().numpy()


class ThirdChannel(CoarseSource):
    """Calls dark blue background, and the rest the second class."""

    def predict_batch(self, images, classes, *, keys=None):
        probs = [torch.stack([1 - i[2], i[2], torch.zeros_like(i[2])]) for i in images]
        return [Prediction(p, p.argmax(0)) for p in probs]


EXPECTED = torch.from_numpy(PIXELS[..., 2] > 127.5).long()


@pytest.mark.parametrize(
    'image',
    [
        PIXELS,
        PIXELS.astype(np.float64) / 255,
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
        Image.fromarray(PIXELS),
    ],
    ids=lambda image: f'{type(image).__name__} {getattr(image, "dtype", "")}',
)
def test_comes_out_as_it_goes_in(image):
    source = ImageSource(ThirdChannel())
    mask, probs = source(image, CLASSES), source(image, CLASSES, probs=True)
    assert np.array_equal(np.asarray(mask), EXPECTED.numpy())
    assert probs.shape == (3, 20, 28)
    if isinstance(image, Image.Image):
        assert (mask.mode, type(probs)) == ('L', np.ndarray)
    else:
        assert type(mask) is type(probs) is type(image)
        assert str(mask.dtype).endswith('int64')


def test_more_classes_than_eight_bits_hold():
    mask = ImageSource(ThirdChannel())(Image.fromarray(PIXELS), [str(i) for i in range(300)])
    assert mask.mode == 'I'


@pytest.mark.parametrize('method', ['seediff', 'DiffSegmenter', 'daam', dict(type='SeeDiff', prior='tiny')])
def test_two_lines_with_the_embedded_prior(method):
    source = load_source(method, prior='tiny', image_size=64)
    probs = source(PIXELS, CLASSES, probs=True)
    np.testing.assert_allclose(probs.sum(0), 1, atol=1e-5)
    assert source(PIXELS, CLASSES).tolist() == probs.argmax(0).tolist()
    refined = load_refiner(dict(type='PAMRRefiner', iterations=1))(PIXELS, probs, CLASSES)
    assert refined.shape == probs.shape


def test_not_there():
    with pytest.raises(
        ValueError, match=r"method: expected one of \[.*'daam', .*'diffsegmenter', .*'sclip', 'seediff'.* got 'sclip2'"
    ):
        load_source('sclip2', prior='tiny')
    with pytest.raises(ValueError, match="source: SeeDiff has no option 'imagesize': did you mean 'image_size'"):
        load_source('seediff', prior='tiny', imagesize=64)
    with pytest.raises(FileNotFoundError, match='no such folder'):
        load_source('seediff', prior='/no/such')
