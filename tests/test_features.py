import pytest
import torch

from mmseg_g4seg.features import DenoiserFeatures, OpenClipFeatures, TransformersClipFeatures, build_features
from mmseg_g4seg.refiners import G4SegRefiner, G4SegSettings
from tests.conftest import IMAGE_SIZE, NAMES, random_case


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
def extractor(request, prior):
    if request.param == 'denoiser':
        return DenoiserFeatures(prior)
    if request.param == 'open_clip':
        return OpenClipFeatures(request.getfixturevalue('open_clip_model'))
    return TransformersClipFeatures(request.getfixturevalue('transformers_model'))


def inputs_for(extractor, batch=2):
    generator = torch.Generator().manual_seed(0)
    if extractor.space == 'latents':
        return torch.randn(batch, 4, 8, 8, generator=generator)
    return torch.rand(batch, 3, 32, 32, generator=generator)


def test_shape_and_independence_of_the_batch(extractor):
    inputs = inputs_for(extractor)
    features = extractor(inputs)
    assert features.ndim == 4
    assert features.dtype == torch.float32
    assert len(features) == 2
    torch.testing.assert_close(extractor(inputs[1:]), features[1:], atol=1e-5, rtol=1e-5)


def test_features_are_local(extractor):
    """A change in one corner changes the features of that corner most."""
    inputs = inputs_for(extractor, 1)
    changed = inputs.clone()
    changed[..., : 8 if extractor.space == 'image' else 2, : 8 if extractor.space == 'image' else 2] *= -1
    difference = (extractor(changed) - extractor(inputs)).square().mean(1)[0]
    assert difference[0, 0] > difference[-1, -1]


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
    features = extractor(image)
    torch.testing.assert_close(features[..., 0, 0], features[..., 0, 3])
    assert (features[..., 0, 0] - features[..., 3, 0]).abs().max() > 1e-4


def test_other_image_size(transformers_model):
    extractor = TransformersClipFeatures(transformers_model, image_size=48)
    assert extractor(torch.rand(1, 3, 20, 30)).shape == (1, 32, 6, 6)
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
    torch.testing.assert_close(loaded(image), OpenClipFeatures(saved)(image))
    larger = OpenClipFeatures.from_pretrained('tiny-test', str(tmp_path / 'weights.pt'), image_size=64)
    assert larger(image).shape == (1, 32, 8, 8)


def test_transformers_from_a_folder(transformers_model, tmp_path):
    transformers_model.save_pretrained(tmp_path)
    loaded = TransformersClipFeatures.from_pretrained(str(tmp_path))
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(loaded(image), TransformersClipFeatures(transformers_model)(image))


def test_unknown_type(prior):
    with pytest.raises(ValueError, match="got 'other'"):
        build_features('other', prior)
