"""Each method gives the numbers of its authors' own code, on the weights stored beside them.

Shapes: N patches, W words, E embedding channels, h w patch grid, H W image size.
"""

import copy

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.coarse.clip import NACLIP, SCLIP, ClearCLIP, ClipSegmentor, MaskCLIP, ProxyCLIP, VanillaCLIP
from mmseg_g4seg.coarse.clip.base import compare_patches, encode_patches
from mmseg_g4seg.coarse.clip.naclip import neighbour_addition
from mmseg_g4seg.coarse.words import mean_direction
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.prediction import ClassList
from tests.coarse.clip.tiny import build_clip, load_visual, tokenizer
from tests.oracle_files import load_oracle

pytest.importorskip('open_clip')
SIZES = ['square', 'wide']


def close(found, expected, tolerance):
    """`tolerance` is the oracles' README's, and absolute: a relative part would widen it where numbers are large."""
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def close_by_double(found, exact, expected, tolerance, rounding):
    """Where the oracle's own rounding is above its tolerance: ours is that near to double precision.

    Double precision, in turn, is as near to the oracle as the oracle's single precision allows, `rounding`.
    """
    close(found.double(), exact, tolerance)
    close(exact, expected.double(), rounding)


@pytest.fixture(scope='module')
def inputs():
    return load_oracle('clip_tiny')[0]


@pytest.fixture(scope='module')
def words(inputs):
    return mean_direction(inputs['in_template_features'])  # (W, E)


@pytest.fixture(scope='module')
def visual(inputs):
    return load_visual(build_clip(), inputs).visual


@pytest.fixture(scope='module')
def exact(visual, inputs):
    """The same in double precision: cosines (1, N, W) of a method."""
    double, words = copy.deepcopy(visual).double(), mean_direction(inputs['in_template_features'].double())
    return lambda method, size: cosines(double, inputs, method, size, words)


def encoded(visual, inputs, method, size):
    """(1, E, h, w)."""
    return encode_patches(visual, inputs[f'in_image_{size}'], method)


def cosines(visual, inputs, method, size, words):
    """(1, N, W)."""
    features = encoded(visual, inputs, method, size).flatten(2).transpose(1, 2)
    return F.normalize(features.to(words), dim=-1) @ words.T


@pytest.mark.parametrize('size', SIZES)
class TestPatches:
    @pytest.mark.parametrize(('method', 'name'), [(SCLIP(), 'tokens'), (VanillaCLIP(), 'tokens_vanilla')])
    def test_sclip(self, visual, inputs, size, method, name):
        oracle, _ = load_oracle('sclip')
        found = encoded(visual, inputs, method, size).flatten(2).transpose(1, 2)
        close(found, oracle[f'out_{name}_{size}'][:, 1:], 3e-6)

    def test_maskclip(self, visual, inputs, words, size):
        oracle, _ = load_oracle('maskclip')
        found = encoded(visual, inputs, MaskCLIP(), size)
        close(found, oracle[f'out_openai_{size}_features'], 8e-6)
        similar = torch.einsum('behw,ne->bnhw', F.normalize(found, dim=1), words)
        close(similar, oracle[f'out_openai_{size}'], 8e-6)

    def test_maskclip_as_its_authors_built_it(self, inputs, size):
        """With GELU and another epsilon, which their weights were not trained with."""
        oracle, _ = load_oracle('maskclip')
        model = load_visual(build_clip(quick_gelu=False, norm_kwargs={'eps': 1e-6}), inputs)
        found = encoded(model.visual, inputs, MaskCLIP(), size)
        close(found, oracle[f'out_authors_{size}_features'], 8e-6)

    @pytest.mark.parametrize(('smoothing', 'denoising'), [(0.9, 0.0), (0.0, 0.5), (0.9, 0.5)])
    def test_maskclip_smoothed_and_denoised(self, inputs, words, size, smoothing, denoising):
        oracle, _ = load_oracle('maskclip')
        model = load_visual(build_clip(quick_gelu=False, norm_kwargs={'eps': 1e-6}), inputs)
        method = MaskCLIP(key_smoothing=smoothing, prompt_denoising=denoising)
        found = compare_patches(model.visual, inputs[f'in_image_{size}'], words, method)
        close(found, oracle[f'out_authors_{size}_ks{smoothing}_pd{denoising}'], 8e-6)

    @pytest.mark.parametrize('architecture', ['reduced', 'vanilla'])
    def test_naclip(self, visual, inputs, words, size, architecture):
        oracle, _ = load_oracle('naclip')
        method = NACLIP()
        method.keeps_block = architecture == 'vanilla'
        close(cosines(visual, inputs, method, size, words), oracle[f'out_{architecture}_naclip_{size}'], 1e-6)

    @pytest.mark.parametrize('residual', [True, False])
    @pytest.mark.parametrize('kind', [VanillaCLIP, MaskCLIP, SCLIP, ClearCLIP])
    def test_clearclip_and_what_it_was_compared_with(self, visual, inputs, words, exact, size, kind, residual):
        oracle, _ = load_oracle('clearclip')
        method, name = kind(), 'vanilla' if kind is VanillaCLIP else kind.__name__
        method.keeps_block, method.exact_positions = residual, False
        expected = oracle[f'out_{name}_{"" if residual else "no"}residual_{size}']
        found = cosines(visual, inputs, method, size, words)
        if (kind, residual, size) == (ClearCLIP, False, 'wide'):
            # of these alone the stored numbers are 1.43e-6 from double precision, the others 0.95e-6 at most
            close_by_double(found, exact(method, size), expected, 1e-6, 1.5e-6)
        else:
            close(found, expected, 1e-6)


@pytest.mark.parametrize(('name', 'options'), [('', {}), ('_beta1_gamma5', dict(shift=1.0, sharpness=5.0))])
def test_proxyclip(visual, inputs, words, exact, name, options):
    oracle, _ = load_oracle('proxyclip')
    method = ProxyCLIP(lambda _: oracle['in_external_features'], **options)
    found = cosines(visual, inputs, method, 'square', words)
    # the stored numbers are 3.8e-7 and 4.0e-7 from double precision
    close_by_double(found, exact(method, 'square'), oracle[f'out_square{name}'], 3e-7, 4.1e-7)


def test_the_gaussian_of_naclip():
    oracle, meta = load_oracle('naclip')
    found = neighbour_addition((8, 12), meta['gaussian_std'])[meta['addition_rows']]
    close(found, oracle['out_gaussian_addition_wide'], 1e-6)


class TestSlide:
    """SCLIP in windows of 64 every 32, on an image of 80 x 112 that is 100 x 140 on disk."""

    @pytest.fixture(scope='class')
    def cosines(self, inputs, words):
        model = load_visual(build_clip(), inputs)
        source = ClipSegmentor(model, tokenizer=tokenizer, image_scale=(112, 80), window=(64, 32))
        return resize_maps(source.cosines(inputs['in_image_slide'][0], words), (100, 140))

    def test_cosines(self, cosines):
        close(cosines[:, ::2, ::2], load_oracle('sclip')[0]['out_logits_slide'][0], 3e-6)

    @pytest.mark.parametrize('rule', ['plain', 'threshold', 'area'])
    def test_labels_exactly_and_an_honest_softmax(self, cosines, inputs, words, monkeypatch, rule):
        oracle, meta = load_oracle('sclip')
        options = {'threshold': ['prob_thd'], 'area': ['prob_thd', 'area_thd']}.get(rule, [])
        called = {'prob_thd': 'background_score', 'area_thd': 'area_threshold'}
        source = ClipSegmentor(
            build_clip(), tokenizer=tokenizer, logit_scale=meta['logit_scale'], **{called[o]: meta[o] for o in options}
        )
        monkeypatch.setattr(source, 'cosines', lambda *_: cosines)
        owners = inputs['in_query_index'].tolist()
        classes = [tuple(f'{c} {i}' for i, o in enumerate(owners) if o == c) for c in range(5)]
        found = source.predict(torch.rand(3, 100, 140), ClassList(classes, background=0))
        assert torch.equal(found.label_map, oracle[f'out_labels_{rule}'].long())
        torch.testing.assert_close(found.probs.sum(dim=0), torch.ones(100, 140))
        # where the background was not raised the scores are the authors', over their sum
        expected = oracle[f'out_probs_{rule}']
        same = expected[0] >= source.background_score
        assert same.any()
        close(found.probs[:, ::2, ::2][:, same], (expected / expected.sum(dim=0))[:, same], 6e-6)
