"""What every source that reads attention must do; C classes, H W image size."""

import pytest
import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.coarse import DAAM, CoarseSource, DiffSegmenter, SeeDiff
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.registry import build as build_part
from tests.coarse.priors import FAMILIES, IMAGE_SIZE, build
from tests.conftest import random_case

METHODS = (SeeDiff, DiffSegmenter, DAAM)
SIX_TOKENS = ' '.join(['hot air balloon'] * 2)
CLASSES = ['background', 'sky', SIX_TOKENS, ('grass', 'brick wall')]


@pytest.fixture(scope='module', params=FAMILIES)
def prior(request):
    return build(request.param)


@pytest.fixture(scope='module')
def tiny():
    return build('tiny')


def image(height=40, width=56, seed=0):
    return random_case(height, width, seed=seed)[0]


@pytest.fixture(params=METHODS, ids=lambda method: method.__name__)
def method(request):
    return request.param


def test_predicts_with_every_family(prior, method):
    source = method(prior, image_size=IMAGE_SIZE)
    found = source.predict(image(), CLASSES)
    assert found.probs.shape == (4, 40, 56)
    assert found.probs.dtype == torch.float32
    torch.testing.assert_close(found.probs.sum(0), torch.ones(40, 56))
    assert torch.equal(found.label_map, found.probs.argmax(0))
    # every class reaches 1 before the sum: none is empty, and none is everything
    assert set(found.label_map.unique().tolist()) >= {1, 2, 3}


def test_tokens_are_those_of_the_whole_name(tiny, method):
    """A name of six tokens is not its first, nor its last."""
    source = method(tiny, image_size=IMAGE_SIZE, prompt_template='a photo of {name}')
    read = []
    inner = source.map_of
    source.map_of = lambda maps, i, tokens: read.append(tokens.tolist()) or inner(maps, i, tokens)
    source.predict(image(), ['background', SIX_TOKENS, 'sky'])
    # begin of text, a, photo, of
    assert read == [[4, 5, 6, 7, 8, 9], [4]]


def test_batch_and_order_change_nothing(tiny, method):
    one, other = image(), image(30, 20, seed=1)
    source = method(tiny, image_size=IMAGE_SIZE)
    both = source.predict_batch([one, other], CLASSES, keys=['a', 'b'])
    alone = method(tiny, image_size=IMAGE_SIZE, passes_per_batch=1).predict(other, CLASSES, key='b')
    torch.testing.assert_close(both[1].probs, alone.probs, atol=1e-4, rtol=0)
    assert (both[1].label_map == alone.label_map).float().mean() > 0.99
    assert not torch.equal(source.predict(other, CLASSES, key='a').probs, alone.probs)


def test_timesteps_are_averaged(tiny):
    """DAAM is linear in attention but for the stretching: maps of two timesteps are the mean of each alone."""
    maps = {}
    for timesteps in ((100,), (300,), (100, 300)):
        source = DAAM(tiny, image_size=IMAGE_SIZE, timesteps=timesteps)
        found = []
        source.finish = lambda probs, image, found=found: found.append(probs) or image[0]
        source.predict(image(), ['background', 'sky'])
        maps[timesteps] = found[0]
    assert not torch.allclose(maps[100,], maps[300,], atol=1e-5)
    mean = (maps[100,] + maps[300,]) / 2
    torch.testing.assert_close(maps[100, 300], mean, atol=2e-4, rtol=0)
    assert (maps[100, 300] - mean).abs().mean() < (maps[100,] - mean).abs().mean() / 5


def test_image_size_is_the_priors_own(tiny):
    assert SeeDiff(tiny).image_size == (128, 128)
    assert SeeDiff(build('flux')).image_size == (512, 512)  # its config does not say


def test_images_need_not_be_square(tiny, method):
    """Without resizing and finishing, a map of twice the width is what the wide image's latents give."""
    source = method(tiny, image_size=(32, 64))
    wide = image(32, 64)
    found = source.predict(wide, CLASSES)
    assert found.probs.shape == (4, 32, 64)
    grids = []
    source.finish = lambda probs, own: grids.append(tuple(probs.shape)) or torch.zeros(own.shape[-2:])
    source.predict(wide, CLASSES)
    assert {width / height for height, width in grids} == {2}


def test_unknown_classes_and_background_get_no_pass(tiny, method):
    source = method(tiny, image_size=IMAGE_SIZE)
    classes = ClassList(['background', 'sky', 'zeppelin'], known=['sky'])
    found = source.predict(image(), classes)
    assert found.probs[2].eq(0).all()
    nothing = source.predict(image(), ClassList(['background', 'zeppelin'], known=['sky']))
    assert nothing.label_map.eq(0).all()
    assert nothing.probs[0].eq(1).all()
    assert source.predict_batch([], CLASSES) == []


def test_feeds_a_refiner(tiny):
    coarse = DiffSegmenter(tiny, image_size=IMAGE_SIZE).predict(image(), CLASSES)
    refined = build_refiner(dict(type='PAMRRefiner', iterations=1)).refine(image(), coarse, CLASSES)
    assert refined.probs.shape == coarse.probs.shape


class TestBackground:
    MAPS = torch.tensor([[[0.3, 0.6, 0.6]], [[0.2, 0.1, 0.9]]])
    """(2, 1, 3) of two classes, on the image's grid."""

    def predicted(self, tiny, classes, **options):
        source = DAAM(tiny, image_size=IMAGE_SIZE, passes_per_batch=8, **options)
        source.map_of = lambda _, i, *__: self.MAPS[i]
        source.finish = lambda probs, _: probs
        return source.predict(torch.rand(3, 1, 3), classes)

    def test_a_constant(self, tiny):
        found = self.predicted(tiny, ['background', 'sky', 'tree'])
        assert found.label_map.tolist() == [[0, 1, 2]]
        torch.testing.assert_close(found.probs[:, 0, 1], torch.tensor([0.5, 0.6, 0.1]) / 1.2)

    def test_what_no_class_covers(self, tiny):
        """It decides as a constant of 0.5 does."""
        found = self.predicted(tiny, ['background', 'sky', 'tree'], background_score='rest')
        assert found.label_map.tolist() == [[0, 1, 2]]
        torch.testing.assert_close(found.probs[:, 0, 2], torch.tensor([0.1, 0.6, 0.9]) / 1.6)

    def test_classes_that_no_map_finds(self, tiny):
        """Those that can be looked for are as probable, and no other."""
        source = DAAM(tiny, image_size=IMAGE_SIZE)
        source.map_of = lambda *_: torch.zeros(4, 4)
        found = source.predict(torch.rand(3, 2, 3), ClassList(['zeppelin', 'sky', 'tree'], known=['sky', 'tree']))
        assert found.probs[:, 0, 0].tolist() == [0, 0.5, 0.5]
        with pytest.raises(ValueError, match='classes: expected one at least, got none'):
            source.predict(torch.rand(3, 2, 3), [])

    def test_none(self, tiny):
        found = self.predicted(tiny, ['sky', 'tree'])
        torch.testing.assert_close(found.probs[:, 0, 0], torch.tensor([0.6, 0.4]))

    def test_no_class_but_the_background(self, tiny):
        for score in (0.5, 'rest'):
            found = self.predicted(tiny, ['background'], background_score=score)
            assert found.probs.eq(1).all()

    def test_a_threshold_of_the_classes_decides(self, tiny):
        classes = ClassList(['background', 'sky', 'tree'], threshold=0.55)
        assert self.predicted(tiny, classes).label_map.tolist() == [[0, 0, 0]]


class NoAttention(DiffusionPrior):
    """A prior whose family names no attention layer."""

    trained_image_size = 64
    num_train_timesteps = 1000
    image_multiple = 8


NoAttention.__abstractmethods__ = frozenset()


class TestExceptions:
    def test_a_prior_without_attention(self, method):
        with pytest.raises(ValueError, match='prior: expected attention to text and to the image, NoAttention'):
            method(NoAttention())

    @pytest.mark.parametrize(
        ('chosen', 'levels', 'message'),
        [
            (SeeDiff, [1], r'self-attention at \[4, 2\] latent cells a token, got 1'),
            (SeeDiff, [8], r'self-attention at \[4, 2\] latent cells a token, got 8'),
            (DiffSegmenter, [2, 8], r'cross-attention at \[4, 2, 1\] latent cells a token, got 8'),
            (DAAM, [3], r'cross-attention at \[4, 2, 1\] latent cells a token, got 3'),
        ],
    )
    def test_a_level_that_the_model_lacks(self, tiny, chosen, levels, message):
        with pytest.raises(ValueError, match=message):
            chosen(tiny, levels=levels)

    def test_a_level_of_a_transformer(self, method):
        with pytest.raises(ValueError, match=r'levels: this prior has \S+ at \[2\] latent cells a token, got 3'):
            method(build('sd3'), image_size=IMAGE_SIZE, levels=[3])

    def test_a_block_that_the_model_lacks(self, method):
        with pytest.raises(ValueError, match='blocks: this prior has 0 to 2, got 9'):
            method(build('sd3'), image_size=IMAGE_SIZE, blocks=[1, 9])

    def test_blocks_of_a_unet(self, tiny, method):
        with pytest.raises(ValueError, match='blocks: a U-Net is read by levels'):
            method(tiny, blocks=[1])

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'timesteps': []}, 'timesteps: expected integers, one at least, got'),
            ({'timesteps': 100}, 'timesteps: expected integers, one at least, got 100'),
            ({'timesteps': [100.5]}, 'timesteps: expected integers, one at least, got 100.5'),
            ({'levels': []}, r'levels: expected integers, one at least, got \[\]'),
            ({'levels': 2}, 'levels: expected integers, one at least, got 2'),
            ({'blocks': []}, 'blocks: expected integers, one at least'),
            ({'prompt_template': 3}, "prompt_template: expected a text with one '{name}' in it, got 3"),
            ({'timesteps': [1000]}, 'timestep: expected 0 to 999, got 1000'),
            ({'prompt_template': 'a photo'}, 'prompt_template'),
            ({'background_score': 1.0}, 'background_score'),
            ({'background_score': 'none'}, "number between 0 and 1, or 'rest'.* got 'none'"),
            ({'image_size': 30}, 'image_size'),
            ({'image_size': (32, 32, 3)}, r'image_size: expected an integer, or \(height, width\)'),
            ({'passes_per_batch': 0}, 'passes_per_batch'),
        ],
    )
    def test_bad_options(self, tiny, method, options, message):
        with pytest.raises(ValueError, match=message):
            method(tiny, **options)

    def test_bad_images(self, tiny, method):
        source = method(tiny, image_size=IMAGE_SIZE)
        for wrong, message in (
            (torch.rand(40, 56, 3), r'image 1: expected \(3, H, W\)'),
            (torch.rand(3, 4, 4) * 255, r'image 1: expected pixels in \[0, 1\]'),
            (torch.full((3, 4, 4), float('nan')), r'image 1: expected pixels in \[0, 1\]'),
        ):
            with pytest.raises(ValueError, match=message):
                source.predict_batch([image(), wrong], CLASSES)
        with pytest.raises(ValueError, match='one key an image'):
            source.predict_batch([image()], CLASSES, keys=[1, 2])

    def test_a_name_that_no_prompt_holds(self, tiny, method, monkeypatch):
        """Before a picture is encoded."""
        monkeypatch.setattr(type(tiny), 'encode_images', lambda *_: pytest.fail('work began'))
        source = method(tiny, image_size=IMAGE_SIZE)
        with pytest.raises(ValueError, match=r"class name 'hot air .* reads 46: expected a shorter name"):
            source.predict(image(), ['background', 'sky', ' '.join(['hot air balloon'] * 20)])
        # nor once a picture has a class of the kind: in a run over a data set that may be the last one
        with pytest.raises(ValueError, match=r"class name 'hot air .* reads 46: expected a shorter name"):
            source.predict_present(image(), ['background', 'sky', ' '.join(['hot air balloon'] * 20)], [1])

    def test_a_misspelt_option(self):
        with pytest.raises(ValueError, match="has no option 'timestep': did you mean 'timesteps'"):
            build_part(dict(type='SeeDiff', prior='tiny', timestep=100), CoarseSource)
