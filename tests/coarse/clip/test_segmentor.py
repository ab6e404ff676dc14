"""Masks from CLIP and words; V words, C classes, E embedding channels, H W image size."""

import copy
import json
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_g4seg.coarse import ClipSegmentor, build_source
from mmseg_g4seg.coarse.clip import NACLIP, SCLIP, ClearCLIP, MaskCLIP, ProxyCLIP, VanillaCLIP
from mmseg_g4seg.coarse.clip.base import encode_patches
from mmseg_g4seg.coarse.clip.scores import class_scores, drop_small_classes
from mmseg_g4seg.coarse.words import WordEncoder
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.prediction import ClassList
from tests.coarse.clip.tiny import build_clip, tokenizer

pytest.importorskip('open_clip')
CLASSES = ['background', 'sky', ('tree', 'bush', 'wood'), 'ball']
TEMPLATES = ['a photo of a {name}.', 'one {name}']


@pytest.fixture(scope='module')
def model():
    return build_clip(layers=2)


def build(model, **options):
    small = dict(tokenizer=tokenizer, image_scale=(256, 64), window=(64, 32), templates=TEMPLATES)
    return ClipSegmentor(model, **{**small, **options})


@pytest.mark.parametrize('size', [(1, 1), (7, 2000), (2000, 7), (40, 56)])
@pytest.mark.parametrize('options', [{}, dict(window='whole'), dict(pamr_iterations=1)], ids=str)
def test_any_size(model, size, options):
    found = build(model, background_score=0.3, **options).predict(torch.rand(3, *size), CLASSES)
    assert found.probs.shape == (4, *size)
    torch.testing.assert_close(found.probs.sum(dim=0), torch.ones(size))
    assert torch.equal(found.label_map, found.probs.argmax(dim=0))


def test_labels_do_not_hang_on_the_batch(model):
    images = [torch.rand(3, 40 + 8 * i, 56) for i in range(3)]
    together = build(model).predict_batch(images, CLASSES)
    backwards = build(model).predict_batch(images[::-1], CLASSES)[::-1]
    for image, one, other in zip(images, together, backwards, strict=True):
        assert torch.equal(one.label_map, other.label_map)
        assert torch.equal(one.probs, build(model).predict(image, CLASSES).probs)


@pytest.mark.parametrize(
    'method',
    [SCLIP(), MaskCLIP(), NACLIP(), ClearCLIP(), VanillaCLIP(), ProxyCLIP(nn.AvgPool2d(4))],
    ids=lambda m: m.name,
)
def test_windows_of_every_method_are_a_plain_loop(model, method):
    """Of 64 every 32, the last ones moved back into the image, as mmseg's `slide_inference` has it."""
    image, words = torch.rand(3, 80, 112), F.normalize(torch.randn(5, 32), dim=1)
    total, count = torch.zeros(5, 80, 112), torch.zeros(80, 112)
    for top in (0, 16):
        for left in (0, 32, 48):
            place = slice(top, top + 64), slice(left, left + 64)
            features = encode_patches(model.visual, image[(slice(None), *place)][None], method)
            cosines = torch.einsum('behw,ne->bnhw', F.normalize(features, dim=1), words)
            total[(slice(None), *place)] += F.interpolate(cosines, (64, 64), mode='bilinear')[0]
            count[place] += 1
    source = build(model, method=method, image_scale=(112, 80), pamr_iterations=0)
    torch.testing.assert_close(source.cosines(image, words), total / count, atol=1e-6, rtol=0)


class TestScores:
    def test_the_best_synonym_counts(self):
        probs = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
        found = class_scores(probs.log().view(5, 1, 1) / 7, [0, 1, 1, 2, 2], 3, 7.0)
        assert found.flatten().tolist() == pytest.approx([0.1, 0.3, 0.25])

    def test_in_strips(self, monkeypatch):
        cosines = torch.rand(5, 7, 3)
        whole = class_scores(cosines, [0, 1, 1, 2, 2], 3, 7.0)
        monkeypatch.setattr('mmseg_g4seg.coarse.clip.scores.STRIP_BYTES', 4 * 5 * 3 * 2)  # two rows
        torch.testing.assert_close(class_scores(cosines, [0, 1, 1, 2, 2], 3, 7.0), whole, atol=1e-6, rtol=0)

    def test_probabilities_in_any_proportion(self):
        """Smoothed by keys, they have any sum, and may be below 0; no softmax makes them flat."""
        probs = torch.tensor([[6.0, 5.0, -1.0], [3.0, 2.0, -3.0], [0.0, -1.0, -2.0]])[:, None]
        scores = class_scores(probs, [0, 1, 1], 2, None)[:, 0]
        torch.testing.assert_close(scores, torch.tensor([[6 / 9, 6 / 9, 2 / 3], [3 / 9, 3 / 9, 1 / 3]]))

    def test_smoothed_labels_are_the_best_of_what_the_method_gives(self, model):
        source = build(model, method=dict(type='MaskCLIP', key_smoothing=1.0), window='whole')
        image = torch.rand(3, 40, 56)
        words = source.words(['sky', 'tree', 'bush', 'ball'])
        best = source.cosines(image, words).argmax(dim=0)
        found = source.predict(image, ['sky', ('tree', 'bush'), 'ball'])
        assert torch.equal(found.label_map, torch.tensor([0, 1, 1, 2])[best])
        torch.testing.assert_close(found.probs.sum(dim=0), torch.ones(40, 56))

    def test_small_classes_are_left_out(self):
        """Of four pixels one is background, two are of class 1, one of class 2: a third of the foreground."""
        scores = F.one_hot(torch.tensor([[0, 1], [1, 2]]), 4).permute(2, 0, 1).float() + 0.1
        found = drop_small_classes(scores, 0, 0.34)
        assert found[[0, 1]].equal(scores[[0, 1]])
        assert found[[2, 3]].eq(0).all()
        assert drop_small_classes(scores, 0, 0.3)[2].equal(scores[2])
        assert drop_small_classes(scores, None, 0.3)[0].eq(0).all(), 'without a background a class as any other'

    def test_the_background_is_raised_and_not_replaced(self, model, monkeypatch):
        source = build(model, logit_scale=1.0, background_score=0.4)
        probs = torch.tensor([[0.5, 0.1, 0.1], [0.3, 0.3, 0.1], [0.2, 0.6, 0.8]])
        monkeypatch.setattr(source, 'cosines', lambda *_: probs.log()[:, None])
        found = source.predict(torch.rand(3, 1, 3), ['background', 'sky', 'tree'])
        assert found.label_map.tolist() == [[0, 2, 2]]
        expected = torch.tensor([[0.5, 0.4, 0.4], [0.3, 0.3, 0.1], [0.2, 0.6, 0.8]])
        torch.testing.assert_close(found.probs[:, 0], expected / expected.sum(dim=0))

    def test_pamr_is_of_cosines(self, model):
        image, words = torch.rand(3, 40, 56), F.normalize(torch.randn(3, 32), dim=1)
        plain = build(model, pamr_iterations=0).cosines(image, words)
        found = build(model, pamr_iterations=3).cosines(image, words)
        torch.testing.assert_close(found, pixel_adaptive_average(image, plain, (8, 16), 3))
        assert not torch.allclose(found, plain, atol=1e-4)


class TestWords:
    def test_are_encoded_once(self, model):
        encoded = []
        source = build(model, tokenizer=lambda texts: encoded.extend(texts) or tokenizer(texts))
        source.predict(torch.rand(3, 40, 56), CLASSES)
        words = ('background', 'sky', 'tree', 'bush', 'wood', 'ball')
        assert encoded == [template.replace('{name}', word) for word in words for template in TEMPLATES]
        # a host says the device with every image, and asks of some classes only
        source.to('cpu').predict(torch.rand(3, 40, 56), CLASSES[1:])
        assert len(encoded) == 12

    def test_the_80_prompts_of_imagenet(self):
        asked = []
        WordEncoder(lambda texts: asked.extend(texts) or torch.eye(len(texts)))(['cat'])
        assert len(set(asked)) == 80
        assert all('cat' in text for text in asked)

    def test_are_directions_averaged(self):
        found = WordEncoder(lambda texts: torch.tensor([[3.0, 0], [0, 1.0]])[: len(texts)], TEMPLATES)(['cat'])
        torch.testing.assert_close(found, torch.full((1, 2), 0.5**0.5))

    @pytest.mark.parametrize('templates', ['a {name}', [], ['a photo'], ['{name} and {name}']])
    def test_templates_without_a_place(self, templates):
        with pytest.raises(ValueError, match=r"templates: expected prompts with one '\{name\}' in each"):
            WordEncoder(torch.zeros, templates)


def test_a_copy_stands_on_its_own(model):
    """Processes that share the work get copies: one whose words came from the first one's model would follow it."""
    source = build(model)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(build(model, tokenizer=tokenizer))))
    assert copied.words.encode.__self__ is copied
    assert copied.model is not source.model
    image = torch.rand(3, 40, 56)
    assert copied.predict(image, CLASSES).probs.equal(source.predict(image, CLASSES).probs)


class TestMethods:
    def test_each_brings_its_own_settings(self, model):
        assert ClipSegmentor(model, tokenizer=tokenizer, method='naclip').pamr_iterations == 10
        clear = ClipSegmentor(model, tokenizer=tokenizer, method='clearclip')
        assert (clear.logit_scale, clear.sliding.window, clear.sliding.image_scale) == (50, (448, 224), (2048, 448))
        assert ClipSegmentor(model, tokenizer=tokenizer, method='maskclip').sliding.window is None
        assert type(ClipSegmentor(model, tokenizer=tokenizer).method) is SCLIP

    def test_differ(self, model):
        image, names = torch.rand(3, 64, 64), ('sclip', 'maskclip', 'naclip', 'clearclip', 'vanilla')
        found = [build(model, method=name, pamr_iterations=0).predict(image, CLASSES).probs for name in names]
        assert all(not a.allclose(b, atol=1e-4) for i, a in enumerate(found) for b in found[:i])

    def test_with_an_option_of_its_own(self, model):
        assert build(model, method=dict(type='NACLIP', deviation=2.0)).method.deviation == 2.0
        with pytest.raises(ValueError, match=r"source\.method: NACLIP has no option 'deviatoin': did you mean 'dev"):
            build(model, method=dict(type='NACLIP', deviatoin=2.0))
        with pytest.raises(ValueError, match=r"source\.method: SCLIP has no option 'key_smoothing'; MaskCLIP has it"):
            build(model, method=dict(type='SCLIP', key_smoothing=0.9))
        built = ClearCLIP()
        assert build(model, method=built).method is built

    def test_is_not_there(self, model):
        with pytest.raises(ValueError, match=r"method: expected one of \['clearclip', .*'vanilla'\], got 'sclip2'"):
            build(model, method='sclip2')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(logit_scale=0), 'logit_scale: expected a number above 0, got 0'),
        (dict(background_score=1.0), r'background_score: expected a number in \[0, 1\), got 1.0'),
        (dict(area_threshold=-0.1), r'area_threshold: expected a number in \[0, 1\), got -0.1'),
        (dict(pamr_iterations=-1), 'pamr_iterations: expected a count, got -1'),
        (dict(window=(60, 30)), 'window: expected a side that is a multiple of 8'),
        (dict(window='ab'), "window: expected side and stride, or 'whole', got 'ab'"),
        (dict(image_scale=(64, 4)), 'image_scale: expected a longer and a shorter side of 8 pixels'),
    ],
)
def test_exceptions(model, options, message):
    with pytest.raises(ValueError, match=message):
        build(model, **options)


class TestLoading:
    """By name, from a folder as open_clip's hub has it."""

    def test_local_folder(self, clip_folder):
        source = build_source('sclip', dict(model=f'local-dir:{clip_folder}', image_scale=(96, 32), window=(32, 16)))
        assert source.method.name == 'sclip'
        found = source.predict(torch.rand(3, 20, 28), ClassList(CLASSES))
        assert found.probs.shape == (4, 20, 28)

    def test_activation_that_the_weights_were_not_trained_with(self, clip_folder):
        """A snapshot's file in place of its folder: what lies beside it says that it is QuickGELU's."""
        settings = json.loads((clip_folder / 'open_clip_config.json').read_text())
        assert settings['model_cfg']['quick_gelu']
        with pytest.raises(ValueError, match=r"were trained with QuickGELU, which open_clip calls .* 'ViT-B-16-quickg"):
            build_source('sclip', dict(model='ViT-B-16', pretrained=str(clip_folder / 'open_clip_pytorch_model.bin')))

    def test_openais_tag(self):
        with pytest.raises(ValueError, match="weights 'openai' were trained with QuickGELU"):
            build_source('maskclip', dict(model='ViT-B-16'))

    @pytest.mark.parametrize('size', [(1, 1), (7, 2000), (20, 28)])
    def test_proxyclip_with_dinov2(self, clip_folder, dinov2_folder, size):
        """Its patches of 14 pixels fit neither into CLIP's of 8 nor into a strip of one of these."""
        method = dict(type='ProxyCLIP', features=str(dinov2_folder))
        options = dict(model=f'local-dir:{clip_folder}', image_scale=(96, 32), window=(32, 16))
        found = build_source('proxyclip', dict(method=method, **options)).predict(torch.rand(3, *size), CLASSES)
        assert found.probs.shape == (4, *size)
        torch.testing.assert_close(found.probs.sum(dim=0), torch.ones(size))

    def test_a_misspelt_word_costs_no_loading(self):
        with pytest.raises(ValueError, match="no option 'logit_scal': did you mean 'logit_scale'"):
            build_source('sclip', dict(logit_scal=3))
