import pytest
import torch

from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.build import build_features
from mmseg_g4seg.features.clip import OpenClipFeatures, TransformersClipFeatures
from mmseg_g4seg.features.denoiser import DenoiserFeatures
from mmseg_g4seg.features.joined import JoinedFeatures
from mmseg_g4seg.ops.matching import match_features
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.settings import G4SegSettings
from tests.conftest import IMAGE_SIZE, NAMES, random_case

LATENTS = torch.zeros(1, 4, 8, 8)
"""Of an image at which only the pixels are looked."""


@pytest.fixture(scope='module')
def open_clip_model():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    torch.manual_seed(0)
    vision = CLIPVisionCfg(layers=2, width=32, head_width=16, patch_size=8, image_size=32)
    return CLIP(16, vision, CLIPTextCfg(context_length=8, vocab_size=32, width=16, heads=2, layers=1))


@pytest.fixture(scope='module')
def transformers_model():
    from transformers import CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    return CLIPVisionModel(config).eval()


@pytest.fixture(params=['denoiser', 'open_clip', 'transformers', 'joined'])
def extractor(request, prior):
    if request.param == 'denoiser':
        return DenoiserFeatures(prior)
    if request.param == 'open_clip':
        return OpenClipFeatures(request.getfixturevalue('open_clip_model'))
    clip = TransformersClipFeatures(request.getfixturevalue('transformers_model'))
    return clip if request.param == 'transformers' else JoinedFeatures([DenoiserFeatures(prior), clip])


def two_images():
    """Latents and pixels, which have no more to do with each other than any other noise."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 8, 8, generator=generator), torch.rand(2, 3, 32, 32, generator=generator)


def test_shape_and_independence_of_the_batch(extractor):
    latents, pixels = two_images()
    features = extractor(latents, pixels)
    assert features.ndim == 4
    assert features.dtype == torch.float32
    assert len(features) == 2
    torch.testing.assert_close(extractor(latents[1:], pixels[1:]), features[1:], atol=1e-5, rtol=1e-5)


def test_features_are_local(extractor):
    """A change in one corner changes the features of that corner most."""
    latents, pixels = (images[:1] for images in two_images())
    changed = latents.clone(), pixels.clone()
    changed[0][..., :2, :2] *= -1
    changed[1][..., :8, :8] *= -1
    difference = (extractor(*changed) - extractor(latents, pixels)).square().mean(1)[0]
    assert difference[0, 0] > difference[-1, -1]


def test_what_it_does_not_read_it_does_not_ask_for(extractor):
    latents, pixels = two_images()
    if not extractor.reads_pixels:
        torch.testing.assert_close(extractor(latents), extractor(latents, pixels), atol=0, rtol=0)
        return
    with pytest.raises(ValueError, match=r'ClipFeatures: expected pixels \(B, 3, H, W\), got latents alone'):
        extractor(latents)


def test_refiner_takes_it(extractor, prior):
    image, coarse = random_case()
    refiner = G4SegRefiner(prior, features=extractor, settings=G4SegSettings(image_size=IMAGE_SIZE))
    assert not torch.equal(refiner.refine(image, coarse, NAMES).probs, coarse.probs)


def test_patch_order_of_open_clip(open_clip_model):
    """Row-major: the features of a tall image differ by row, not by column."""
    extractor = OpenClipFeatures(open_clip_model)
    open_clip_model.visual.positional_embedding.data.zero_()
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, :8] = 1
    features = extractor(LATENTS, image)
    torch.testing.assert_close(features[..., 0, 0], features[..., 0, 3])
    assert (features[..., 0, 0] - features[..., 3, 0]).abs().max() > 1e-4


def test_other_image_size(transformers_model):
    extractor = TransformersClipFeatures(transformers_model, image_size=48)
    assert extractor(LATENTS, torch.rand(1, 3, 20, 30)).shape == (1, 32, 6, 6)
    with pytest.raises(ValueError, match='multiple of 8'):
        TransformersClipFeatures(transformers_model, image_size=50)


def test_open_clip_by_name_and_local_file(tmp_path, monkeypatch):
    import open_clip

    config = {
        'embed_dim': 16,
        'vision_cfg': {'image_size': 32, 'layers': 1, 'width': 32, 'head_width': 16, 'patch_size': 8},
        'text_cfg': {'context_length': 8, 'vocab_size': 64, 'width': 16, 'heads': 2, 'layers': 1},
    }
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'tiny-test', config)
    torch.manual_seed(1)
    saved = open_clip.create_model('tiny-test', pretrained=None, require_pretrained=False).eval()
    torch.save(saved.state_dict(), tmp_path / 'weights.pt')
    loaded = OpenClipFeatures.from_pretrained('tiny-test', str(tmp_path / 'weights.pt'))
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(loaded(LATENTS, image), OpenClipFeatures(saved)(LATENTS, image))
    larger = OpenClipFeatures.from_pretrained('tiny-test', str(tmp_path / 'weights.pt'), image_size=64)
    assert larger(LATENTS, image).shape == (1, 32, 8, 8)


@pytest.mark.parametrize(
    ('model', 'pretrained', 'named'),
    [('ViT-B-16', 'openai', 'ViT-B-16-quickgelu'), ('ViT-L-14-336', 'openai', 'ViT-L-14-336-quickgelu')],
)
def test_openai_weights_under_plain_gelu_are_refused(model, pretrained, named):
    """open_clip builds them with a warning; every feature is a little wrong."""
    with pytest.raises(ValueError, match=f"trained with QuickGELU, .* calls the model '{named}'; got model='{model}'"):
        OpenClipFeatures.from_pretrained(model, pretrained)


def test_the_default_is_the_activation_of_its_weights():
    import inspect

    import open_clip

    own = inspect.signature(OpenClipFeatures.from_pretrained).parameters
    model, pretrained = own['model'].default, own['pretrained'].default
    assert (
        open_clip.get_model_config(model)['quick_gelu']
        is open_clip.get_pretrained_cfg(model, pretrained)['quick_gelu']
        is True
    )
    built = open_clip.create_model(model, pretrained=None)
    activations = {type(m).__name__ for m in built.visual.modules() if 'GELU' in type(m).__name__}
    assert activations == {'QuickGELU'}


def test_transformers_from_a_folder(transformers_model, tmp_path):
    transformers_model.save_pretrained(tmp_path)
    loaded = TransformersClipFeatures.from_pretrained(str(tmp_path))
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(loaded(LATENTS, image), TransformersClipFeatures(transformers_model)(LATENTS, image))


def test_unknown_type(prior):
    with pytest.raises(ValueError, match="got 'other'"):
        build_features('other', prior)


def test_unknown_option(prior):
    with pytest.raises(ValueError, match=r"features denoiser: .*'level'"):
        build_features({'type': 'denoiser', 'level': 1}, prior)


class TestDenoiserBlocks:
    def test_the_default_is_the_last_but_one(self, prior):
        latents, _ = two_images()
        default = len(prior.unet.up_blocks) - 2
        torch.testing.assert_close(
            DenoiserFeatures(prior)(latents), DenoiserFeatures(prior, block=default)(latents), atol=0, rtol=0
        )

    def test_each_is_what_its_decoder_level_returns(self, prior):
        latents, _ = two_images()
        outputs = []
        hooks = [b.register_forward_hook(lambda _, __, out: outputs.append(out)) for b in prior.unet.up_blocks]
        prior.denoise(
            prior.add_noise(latents, noise_of_the_extractor(latents), 100),
            100,
            prior.encode_prompts([['image']], 'a photo of an {name}')[[0, 0]],
        )
        for hook in hooks:
            hook.remove()
        assert len(outputs) >= 2
        for block, output in enumerate(outputs):
            torch.testing.assert_close(DenoiserFeatures(prior, block=block)(latents), output, atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize('block', [-1, 9])
    def test_one_that_is_not_there(self, prior, block):
        with pytest.raises(ValueError, match=rf'block: this denoiser has 0 to \d to read features from, got {block}'):
            build_features({'type': 'denoiser', 'block': block}, prior)


def noise_of_the_extractor(latents, seed=0):
    """The one draw that `DenoiserFeatures` adds to all images."""
    noise = torch.randn((1, *latents.shape[1:]), generator=torch.Generator().manual_seed(seed))
    return noise.expand_as(latents)


class Given(FeatureExtractor):
    """Features that a test made up."""

    reads_pixels = False

    def __init__(self, features):
        self.features = features

    def __call__(self, latents, pixels=None):
        return self.features


class TestJoined:
    def test_similarity_is_the_weighted_mean(self):
        generator = torch.Generator().manual_seed(0)
        parts = [torch.randn(2, channels, 4, 6, generator=generator) * 10**channels for channels in (3, 5)]
        joined = JoinedFeatures([Given(p) for p in parts], weights=[3, 1])(LATENTS)
        unit = [torch.nn.functional.normalize(p, dim=1) for p in parts]
        expected = sum(w * (u[0] * u[1]).sum(0) for w, u in zip([0.75, 0.25], unit, strict=True))
        torch.testing.assert_close((joined[0] * joined[1]).sum(0), expected)
        torch.testing.assert_close(joined.square().sum(1), torch.ones(2, 4, 6))

    def test_a_tie_of_one_is_decided_by_the_other(self):
        """A checkered image: one extractor tells columns apart, the other rows; only both find the place."""
        rows, columns = torch.eye(4)[:, :, None].expand(4, 4, 4), torch.eye(4)[:, None].expand(4, 4, 4)
        parts = [Given(rows[None]), Given(columns[None])]
        there = torch.arange(16)
        for part in parts:
            assert (match_features(part(LATENTS), part(LATENTS))[0][0] != there).any()
        joined = JoinedFeatures(parts)(LATENTS)
        assert torch.equal(match_features(joined, joined)[0][0], there)

    def test_the_finest_grid(self):
        coarse, fine = torch.tensor([[[[1.0, -1.0]]]]), torch.ones(1, 2, 4, 4)
        joined = JoinedFeatures([Given(coarse), Given(fine)])(LATENTS)
        assert joined.shape == (1, 3, 4, 4)
        assert (joined[0, 0, :, 0] > 0).all()
        assert (joined[0, 0, :, -1] < 0).all()

    def test_from_a_config(self, prior, transformers_model, tmp_path):
        transformers_model.save_pretrained(tmp_path)
        clip = {'type': 'transformers', 'model': str(tmp_path)}
        joined = build_features({'type': 'joined', 'parts': ['denoiser', clip], 'weights': [1, 2]}, prior)
        latents, pixels = two_images()
        expected = JoinedFeatures(
            [DenoiserFeatures(prior), TransformersClipFeatures(transformers_model)], weights=[1, 2]
        )
        assert joined.reads_pixels
        torch.testing.assert_close(joined(latents, pixels), expected(latents, pixels))

    def test_that_decodes_nothing(self, prior, monkeypatch):
        """Two blocks of the denoiser read latents alone."""
        monkeypatch.setattr(prior, 'decode_latents', None)
        blocks = [{'type': 'denoiser', 'block': 0}, {'type': 'denoiser', 'block': 1}]
        image, coarse = random_case()
        features = build_features({'type': 'joined', 'parts': blocks}, prior)
        assert not features.reads_pixels
        refiner = G4SegRefiner(prior, features=features, settings=G4SegSettings(image_size=IMAGE_SIZE))
        assert not torch.equal(refiner.refine(image, coarse, NAMES).probs, coarse.probs)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'parts': ['denoiser']}, 'parts: expected two extractors or more to join, got 1'),
            ({'parts': ['denoiser'] * 2, 'weights': [1]}, r'weights: expected 2 above 0, one a part, got \[1\]'),
            ({'parts': ['denoiser'] * 2, 'weights': [1, 0]}, r'weights: expected 2 above 0, one a part, got \[1, 0\]'),
            ({'parts': ['denoiser', 'dino']}, "expected a type of .*'joined'.*, got 'dino'"),
            ({}, "features joined: .*'parts'"),
        ],
    )
    def test_what_cannot_be_joined(self, prior, options, message):
        with pytest.raises(ValueError, match=message):
            build_features({'type': 'joined', **options}, prior)
