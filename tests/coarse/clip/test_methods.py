"""The rules by plain loops; B images, T tokens, N patches, D channels, d head dimension, h w patch grid."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_g4seg.coarse.clip import NACLIP, SCLIP, ClearCLIP, MaskCLIP, ProxyCLIP, VanillaCLIP
from mmseg_g4seg.coarse.clip.base import LastAttention, encode_patches
from mmseg_g4seg.coarse.clip.naclip import neighbour_addition
from mmseg_g4seg.coarse.clip.proxyclip import proxy_logits
from mmseg_g4seg.coarse.clip.vision import check_vision_transformer, resize_positions
from tests.coarse.clip.tiny import build_clip

pytest.importorskip('open_clip')
GRID = (2, 3)


@pytest.fixture
def layer():
    query, key, value = torch.randn(3, 1, 2, 7, 4)
    return LastAttention(query, key, value, GRID, torch.rand(1, 3, 16, 24), nn.MultiheadAttention(8, 2))


def attended(first, second, values, addition=None):
    """(heads, T, d) three times -> (heads, h, w, d), token by token."""
    rows = torch.zeros(len(first), 6, first.shape[-1])
    for head in range(len(first)):
        for i in range(1, 7):
            logits = [float(first[head, i] @ second[head, j]) / math.sqrt(first.shape[-1]) for j in range(7)]
            if addition is not None:
                logits = [logit + float(addition[i, j]) for j, logit in enumerate(logits)]
            weights = [math.exp(logit) for logit in logits]
            for j in range(7):
                rows[head, i - 1] += weights[j] / sum(weights) * values[head, j]
    return rows.unflatten(1, GRID)


def test_each_rule_token_by_token(layer):
    q, k, v = layer.query[0], layer.key[0], layer.value[0]
    near = neighbour_addition(GRID, 1.5)
    expected = {
        VanillaCLIP(): attended(q, k, v),
        SCLIP(): attended(q, q, v) + attended(k, k, v),
        ClearCLIP(): attended(q, q, v),
        MaskCLIP(): v[:, 1:].unflatten(1, GRID),
        NACLIP(deviation=1.5): attended(k, k, v, near),
    }
    for method, values in expected.items():
        torch.testing.assert_close(method.attend(layer)[0], values, msg=type(method).__name__)


class TestMaskCLIP:
    COSINES = torch.tensor([[0.30, 0.26], [0.29, 0.29], [0.20, 0.21]]).view(1, 3, 1, 2)
    """Of three words, at two patches."""

    def test_a_word_that_is_nowhere_sure_is_left_out(self, layer):
        """Of probabilities at 100 times the cosines: 0.73 and 0.05, 0.27 and 0.95, below 0.001."""
        found = MaskCLIP(prompt_denoising=0.5).finish(self.COSINES, layer)
        assert found[:, :2].equal(self.COSINES[:, :2])
        assert found[:, 2].eq(-100).all()
        assert MaskCLIP(prompt_denoising=0.8).finish(self.COSINES, layer)[0, :, 0, 0].tolist() == pytest.approx(
            [-100, 0.29, -100]
        )

    @torch.no_grad()
    def test_an_unsure_patch_asks_its_like(self, layer):
        first = replace(layer, key=layer.key[:, :, :3], grid=(1, 2))
        method = MaskCLIP(key_smoothing=0.9)
        assert method.gives_probs
        assert not MaskCLIP(prompt_denoising=0.5).gives_probs
        keys = layer.attention.out_proj(first.key[0, :, 1:].transpose(0, 1).flatten(1))  # (N, D)
        keys = keys / keys.norm(dim=0)
        probs = (100 * self.COSINES).softmax(dim=1)[0, :, 0]  # (V, N)
        found = method.finish(self.COSINES, first)[0, :, 0]
        torch.testing.assert_close(found[:, 1], probs[:, 1])  # sure by 0.95
        expected = keys[0] @ keys[0] * probs[:, 0] + keys[0] @ keys[1] * probs[:, 1]
        torch.testing.assert_close(found[:, 0], expected)

    @pytest.mark.parametrize('name', ['key_smoothing', 'prompt_denoising'])
    def test_shares(self, name):
        with pytest.raises(ValueError, match=rf'{name}: expected a number in \[0, 1\], got 1.5'):
            MaskCLIP(**{name: 1.5})


def test_nearness_by_hand():
    found = neighbour_addition(GRID, 1.0)
    assert found[0].eq(0).all()
    assert found[:, 0].eq(0).all()
    # patch 0 is at (0, 0), patch 5 at (1, 2): five steps squared
    assert found[1, 6] == pytest.approx(math.exp(-5 / 2))
    assert found.diagonal()[1:].eq(1).all()


class TestProxy:
    def test_what_is_below_the_mean_does_not_count(self):
        features = torch.tensor([[[1.0, 1, 0], [0, 0, 1]]])  # two alike, one apart
        mean = 5 / 9
        found = proxy_logits(features, 1.2, 3.0)[0]
        assert found[0, 1] == pytest.approx((1 - 1.2 * mean) * 3)
        assert found[0, 2] == -math.inf

    def test_where_all_are_alike(self):
        """Below 1.2 of their mean are all, each itself too: a row of -inf would be NaN."""
        logits = proxy_logits(torch.ones(1, 4, 5), 1.2, 3.0)
        assert logits[0].softmax(dim=-1).equal(torch.eye(5))

    def test_an_image_at_a_time(self):
        features = torch.randn(2, 4, 5)
        assert proxy_logits(features, 1.2, 3.0)[1:].equal(proxy_logits(features[1:], 1.2, 3.0))

    def test_on_the_other_models_grid(self):
        model, pool = build_clip(), nn.AvgPool2d(4)
        assert encode_patches(model.visual, torch.rand(2, 3, 64, 96), ProxyCLIP(pool)).shape == (2, 32, 16, 24)


class TestVision:
    def test_of_its_own_size_it_is_open_clips(self):
        """With the plain rule, what reaches the first token's neighbours is what open_clip gives."""
        model, images = build_clip(), torch.rand(2, 3, 64, 64)
        model.visual.image_mean, model.visual.image_std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
        mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
        pixels = (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
        tokens = model.visual.forward_intermediates(
            pixels, indices=1, normalize_intermediates=True, intermediates_only=True, output_fmt='NLC'
        )['image_intermediates'][-1]
        expected = (tokens @ model.visual.proj).transpose(1, 2).unflatten(2, (8, 8))
        torch.testing.assert_close(encode_patches(model.visual, images, VanillaCLIP()), expected, atol=1e-5, rtol=1e-5)

    def test_positions_of_as_many_tokens_in_another_shape(self):
        """4 x 16 has 64 patches as 8 x 8 has: kept as they are, rows would be where columns belong."""
        own = torch.cat([torch.full((1, 1), 9.0), torch.arange(8.0).repeat_interleave(8)[:, None]])
        found = resize_positions(own, (8, 8), (4, 16), exact=True)
        assert found[0] == 9
        assert found[1:].view(4, 16).std(dim=1).max() < 1e-5, 'a row has one height'
        assert resize_positions(own, (8, 8), (8, 8)) is own

    @pytest.mark.parametrize('grid', [(1, 1), (1, 30), (14, 9)])
    def test_offset_positions_fit_every_grid(self, grid):
        assert resize_positions(torch.randn(197, 4), (14, 14), grid).shape == (1 + grid[0] * grid[1], 4)

    @pytest.mark.parametrize('vision', [dict(attentional_pool=True, attn_pooler_heads=2), dict(pool_type='avg')])
    def test_other_encoders_are_refused(self, vision):
        with pytest.raises(ValueError, match=r"model: expected .* open_clip's own vision transformer.*got Vision"):
            check_vision_transformer(build_clip(**vision).visual)
        with pytest.raises(ValueError, match='got Linear'):
            check_vision_transformer(nn.Linear(1, 1))


def test_deviation_of_no_gaussian():
    with pytest.raises(ValueError, match='deviation: expected a number of patches above 0, got 0'):
        NACLIP(deviation=0)


def test_dino(tmp_path):
    """Its own patch tokens, on any grid; and a folder without a layer is refused."""
    from safetensors.torch import load_file, save_file
    from transformers import ViTConfig, ViTModel

    from mmseg_g4seg.features.self_supervised import PatchFeatures
    from mmseg_g4seg.ops.imagenet import imagenet_pixels

    sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    network = ViTModel(ViTConfig(image_size=32, patch_size=8, **sizes), add_pooling_layer=False).eval()
    network.save_pretrained(tmp_path)
    found = PatchFeatures.load(str(tmp_path))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        tokens = network(imagenet_pixels(images)).last_hidden_state[:, 1:]
    torch.testing.assert_close(found(images).flatten(2), tokens.transpose(1, 2))
    assert found(F.pad(images, (0, 21))).shape == (2, 16, 4, 6)
    assert found(images[..., :5]).shape == (2, 16, 4, 1), 'narrower than a patch'
    weights = load_file(tmp_path / 'model.safetensors')
    del weights[next(name for name in weights if '.1.' in name and name.endswith('weight'))]
    save_file(weights, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ValueError, match=r'features .*: expected weights of every layer, 1 are missing.*\.1\.'):
        PatchFeatures.load(str(tmp_path))
