import pytest
import torch

from mmseg_g4seg import registry
from mmseg_g4seg.features import DenoiserFeatures, FeatureExtractor, OpenCLIPFeatures, TransformersCLIPFeatures
from mmseg_g4seg.refiners import build_refiner
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate
from mmseg_g4seg.registry import build
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


@pytest.fixture(params=['denoiser', 'open_clip', 'transformers'])
def extractor(request):
    if request.param == 'denoiser':
        return DenoiserFeatures()
    if request.param == 'open_clip':
        return OpenCLIPFeatures(request.getfixturevalue('open_clip_model'))
    return TransformersCLIPFeatures(request.getfixturevalue('transformers_model'))


def two_images():
    """Latents and pixels, which have no more to do with each other than any other noise."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 8, 8, generator=generator), torch.rand(2, 3, 32, 32, generator=generator)


def test_shape_and_independence_of_the_batch(extractor, prior):
    latents, pixels = two_images()
    features = extractor(prior, latents, pixels)
    assert features.ndim == 4
    assert features.dtype == torch.float32
    assert len(features) == 2
    torch.testing.assert_close(extractor(prior, latents[1:], pixels[1:]), features[1:], atol=1e-5, rtol=1e-5)


def test_features_are_local(extractor, prior):
    """A change in one corner changes the features of that corner most."""
    latents, pixels = (images[:1] for images in two_images())
    changed = latents.clone(), pixels.clone()
    changed[0][..., :2, :2] *= -1
    changed[1][..., :8, :8] *= -1
    difference = (extractor(prior, *changed) - extractor(prior, latents, pixels)).square().mean(1)[0]
    assert difference[0, 0] > difference[-1, -1]


def test_what_it_does_not_read_it_does_not_ask_for(extractor, prior):
    latents, pixels = two_images()
    if not extractor.reads_pixels:
        torch.testing.assert_close(extractor(prior, latents), extractor(prior, latents, pixels), atol=0, rtol=0)
        return
    with pytest.raises(ValueError, match=r'CLIPFeatures: expected pixels \(B, 3, H, W\), got latents alone'):
        extractor(prior, latents)


def test_refiner_takes_it(extractor, prior):
    image, coarse = random_case()
    refiner = G4SegRefiner(prior, update=CorrespondenceUpdate(features=extractor), image_size=IMAGE_SIZE)
    assert not torch.equal(refiner.refine(image, coarse, NAMES).probs, coarse.probs)


def test_patch_order_of_open_clip(open_clip_model, prior):
    """Row-major: the features of a tall image differ by row, not by column."""
    extractor = OpenCLIPFeatures(open_clip_model)
    open_clip_model.visual.positional_embedding.data.zero_()
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, :8] = 1
    features = extractor(prior, LATENTS, image)
    torch.testing.assert_close(features[..., 0, 0], features[..., 0, 3])
    assert (features[..., 0, 0] - features[..., 3, 0]).abs().max() > 1e-4


def test_other_image_size(transformers_model, prior):
    extractor = TransformersCLIPFeatures(transformers_model, image_size=48)
    assert extractor(prior, LATENTS, torch.rand(1, 3, 20, 30)).shape == (1, 32, 6, 6)
    with pytest.raises(ValueError, match='multiple of 8'):
        TransformersCLIPFeatures(transformers_model, image_size=50)


def test_open_clip_by_name_and_local_file(tmp_path, monkeypatch, prior):
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
    loaded = OpenCLIPFeatures.from_config('tiny-test', str(tmp_path / 'weights.pt'))
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(loaded(prior, LATENTS, image), OpenCLIPFeatures(saved)(prior, LATENTS, image))
    larger = OpenCLIPFeatures.from_config('tiny-test', str(tmp_path / 'weights.pt'), image_size=64)
    assert larger(prior, LATENTS, image).shape == (1, 32, 8, 8)


@pytest.mark.parametrize(
    ('model', 'pretrained', 'named'),
    [('ViT-B-16', 'openai', 'ViT-B-16-quickgelu'), ('ViT-L-14-336', 'openai', 'ViT-L-14-336-quickgelu')],
)
def test_openai_weights_under_plain_gelu_are_refused(model, pretrained, named):
    """open_clip builds them with a warning; every feature is a little wrong."""
    with pytest.raises(ValueError, match=f"trained with QuickGELU, .* calls the model '{named}'; got model='{model}'"):
        OpenCLIPFeatures.from_config(model, pretrained)


def test_the_default_is_the_activation_of_its_weights():
    import inspect

    import open_clip

    own = inspect.signature(OpenCLIPFeatures.from_config).parameters
    model, pretrained = own['model'].default, own['pretrained'].default
    assert (
        open_clip.get_model_config(model)['quick_gelu']
        is open_clip.get_pretrained_cfg(model, pretrained)['quick_gelu']
        is True
    )
    built = open_clip.create_model(model, pretrained=None)
    activations = {type(m).__name__ for m in built.visual.modules() if 'GELU' in type(m).__name__}
    assert activations == {'QuickGELU'}


def test_transformers_from_a_folder(transformers_model, tmp_path, prior):
    transformers_model.save_pretrained(tmp_path)
    loaded = TransformersCLIPFeatures.from_config(str(tmp_path))
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(
        loaded(prior, LATENTS, image), TransformersCLIPFeatures(transformers_model)(prior, LATENTS, image)
    )


class TestBuilding:
    def test_by_type(self, tmp_path, transformers_model):
        transformers_model.save_pretrained(tmp_path)
        built = build(dict(type='TransformersCLIPFeatures', model=str(tmp_path), image_size=48), FeatureExtractor)
        assert isinstance(built, TransformersCLIPFeatures)
        assert built.image_size == 48
        denoiser = build(dict(type='DenoiserFeatures', block=1, timestep=50, seed=7), FeatureExtractor)
        assert (denoiser.block, denoiser.timestep, denoiser.seed) == (1, 50, 7)

    @pytest.mark.parametrize(
        ('config', 'message'),
        [
            (dict(type='other'), "there is no part 'other'"),
            (dict(type='OpenClipFeatures'), "did you mean 'OpenCLIPFeatures'"),
            (dict(type='MaskInjector'), r"expected one of \['DenoiserFeatures', .*, got a MaskInjector"),
            (dict(type='DenoiserFeatures', timesteps=1), "no option 'timesteps': did you mean 'timestep'"),
            (dict(type='DenoiserFeatures', pretrained='openai'), r"no option 'pretrained'; OpenCLIPFeatures has it"),
            (dict(type='OpenCLIPFeatures', pretraned='openai'), "no option 'pretraned': did you mean 'pretrained'"),
            (dict(type='TransformersCLIPFeatures'), "expected the option 'model', which is missing"),
        ],
    )
    def test_what_is_not_known(self, config, message):
        with pytest.raises(ValueError, match=message):
            build(config, FeatureExtractor)

    def test_one_of_your_own_is_a_class_and_a_decorator(self, prior, monkeypatch):
        monkeypatch.setattr(registry, '_PARTS', dict(registry._PARTS))

        @registry.register
        class ColourFeatures(FeatureExtractor):
            """Places match where their colours do."""

            reads_pixels = True

            def __init__(self, *, factor: float = 1.0) -> None:
                self.factor = factor

            def __call__(self, prior, latents, pixels=None):
                return self.factor * torch.nn.functional.avg_pool2d(pixels, 4)

        def refiner(**features):
            update = dict(type='CorrespondenceUpdate', confidence_range=(0.0, 1.0), features=features)
            return build_refiner(dict(type='G4SegRefiner', prior=prior, image_size=IMAGE_SIZE, update=update))

        own = refiner(type='ColourFeatures', factor=2.0)
        assert (type(own.update.features), own.update.features.factor) == (ColourFeatures, 2.0)
        image, coarse = random_case()
        by_colour = own.refine(image, coarse, NAMES).probs
        assert not torch.equal(by_colour, refiner(type='DenoiserFeatures').refine(image, coarse, NAMES).probs)
        with pytest.raises(ValueError, match=r"refiner\.update\.features: ColourFeatures .*did you mean 'factor'"):
            refiner(type='ColourFeatures', facter=2.0)


def test_latents_are_decoded_for_those_alone_that_read_pixels(prior, monkeypatch):
    """A block of the denoiser reads latents: decoding costs more than half of SD 2.1's pass."""
    monkeypatch.setattr(prior, 'decode_latents', None)
    image, coarse = random_case()
    refiner = G4SegRefiner(prior, update=CorrespondenceUpdate(features=DenoiserFeatures()), image_size=IMAGE_SIZE)
    assert not torch.equal(refiner.refine(image, coarse, NAMES).probs, coarse.probs)


class TestDenoiserBlocks:
    def test_the_default_is_the_last_but_one(self, prior):
        latents, _ = two_images()
        default = len(prior.unet.up_blocks) - 2
        torch.testing.assert_close(
            DenoiserFeatures()(prior, latents), DenoiserFeatures(block=default)(prior, latents), atol=0, rtol=0
        )

    def test_each_is_what_its_decoder_level_returns(self, prior):
        latents, _ = two_images()
        outputs = []
        hooks = [b.register_forward_hook(lambda _, __, out: outputs.append(out)) for b in prior.unet.up_blocks]
        prior.denoise(
            prior.add_noise(latents, noise_of_the_extractor(prior, latents), 100),
            100,
            prior.encode_prompts([['image']], 'a photo of an {name}')[[0, 0]],
        )
        for hook in hooks:
            hook.remove()
        assert len(outputs) >= 2
        for block, output in enumerate(outputs):
            torch.testing.assert_close(DenoiserFeatures(block=block)(prior, latents), output, atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize('block', [-1, 9])
    def test_one_that_is_not_there(self, prior, block):
        with pytest.raises(ValueError, match=rf'block: this denoiser has 0 to \d to read features from, got {block}'):
            DenoiserFeatures(block=block).check(prior)

    @pytest.mark.parametrize('features', [DenoiserFeatures(block=9), DenoiserFeatures(timestep=1000)])
    def test_a_refiner_asks_before_any_work(self, prior, features):
        with pytest.raises(ValueError, match=r'(block: this denoiser has|timestep: expected 0 to 999)'):
            G4SegRefiner(prior, update=CorrespondenceUpdate(features=features), image_size=IMAGE_SIZE)

    def test_seed_and_timestep_are_of_the_noise(self, prior):
        latents, _ = two_images()
        plain = DenoiserFeatures()(prior, latents)
        for other in (DenoiserFeatures(seed=1), DenoiserFeatures(timestep=300)):
            assert not torch.allclose(other(prior, latents), plain)


def noise_of_the_extractor(prior, latents, seed=0):
    """The one draw that `DenoiserFeatures` adds to all images."""
    noise = torch.randn((1, *latents.shape[1:]), generator=torch.Generator().manual_seed(seed))
    return noise.expand_as(latents)
