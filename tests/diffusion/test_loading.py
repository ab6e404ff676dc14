"""One prior a source: who loads it, how often, and what becomes of it; families of your own."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from mmseg_g4seg import registry
from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.loading import as_prior, load_prior, loaded_once
from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from mmseg_g4seg.refiners import build_refiner
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.diffusion.pipelines import edit_config

UNET_FILE = 'unet/diffusion_pytorch_model.safetensors'


@pytest.fixture
def folder(prior_folder, tmp_path):
    return shutil.copytree(prior_folder, tmp_path / 'prior')


@pytest.fixture
def loads(monkeypatch):
    """Folders whose U-Net was read from the disk."""
    read, own = [], UNet2DConditionModel.from_pretrained

    def count(place, **options):
        read.append(Path(place).parent)
        return own(place, **options)

    monkeypatch.setattr(UNet2DConditionModel, 'from_pretrained', count)
    return read


def weights(prior):
    return [weight for network in prior.networks for weight in network.parameters()]


def held_bytes(*priors):
    """Memory of all weights, those that are shared counted once."""
    storages = {w.untyped_storage().data_ptr(): w.untyped_storage().nbytes() for p in priors for w in weights(p)}
    return sum(storages.values())


class TestOnceARefiner:
    def test_a_chain_that_names_a_prior_twice_holds_one(self, folder, loads):
        def refiner(prior, **update):
            return dict(type='G4SegRefiner', prior=prior, image_size=IMAGE_SIZE, update=update)

        chain = build_refiner(
            dict(
                type='SequentialRefiner',
                refiners=[
                    refiner(str(folder), type='CorrespondenceUpdate', confidence_range=(0.0, 1.0)),
                    refiner(dict(source=folder, dtype='float32'), type='LikelihoodUpdate', timesteps=(400,)),
                ],
            )
        )
        first, second = (refiner.prior for refiner in chain.refiners)
        assert loads == [folder]
        assert [id(w) for w in weights(first)] == [id(w) for w in weights(second)]
        alone = load_prior(shutil.copytree(folder, folder.parent / 'copy'))
        assert loads == [folder, folder.parent / 'copy'], 'another folder is another prior'
        assert held_bytes(first, second) == held_bytes(alone) == held_bytes(first, alone) // 2
        image, coarse = random_case()
        assert torch.isfinite(chain.refine(image, coarse, NAMES).probs).all()

    def test_names_of_one_folder(self, monkeypatch):
        place = EMBEDDED_PRIORS['tiny']
        with loaded_once():
            named = load_prior('tiny')
            assert load_prior(place) is load_prior(str(place)) is named
            monkeypatch.chdir(place.parent)
            assert load_prior(Path(place.name)) is named

    @pytest.mark.parametrize('options', [{'dtype': 'bfloat16'}, {'tiling': True}], ids=str)
    def test_other_options_are_another_prior(self, folder, loads, options):
        with loaded_once():
            plain, other = load_prior(folder), load_prior(folder, **options)
            assert other is not plain
            assert load_prior(folder) is plain
            assert load_prior(folder, **options) is other
        assert loads == [folder] * 2

    def test_a_chain_inside_a_chain_shares(self, folder, loads):
        with loaded_once():
            prior = load_prior(folder)
            with loaded_once():
                assert load_prior(folder) is prior
            assert load_prior(folder) is prior
        assert loads == [folder]

    def test_refiners_of_their_own_go_to_devices_of_their_own(self, folder):
        """Shared, the second would have taken the first one's weights away with it."""
        config = dict(type='G4SegRefiner', prior=str(folder), image_size=IMAGE_SIZE)
        first, second = build_refiner(config), build_refiner(config)
        second.to('meta')
        assert (first.prior.device.type, second.prior.device.type) == ('cpu', 'meta')
        image, coarse = random_case()
        assert torch.isfinite(first.refine(image, coarse, NAMES).probs).all()

    def test_written_anew_is_loaded_anew(self, folder):
        """A training saves to the same folder, and evaluates what it saved."""
        before = load_prior(folder)
        file = folder / UNET_FILE
        save_file({name: tensor * 1.5 for name, tensor in load_file(file).items()}, file, metadata={'format': 'pt'})
        torch.testing.assert_close(load_prior(folder).unet.conv_in.weight, before.unet.conv_in.weight * 1.5)


class TestNaming:
    def test_a_built_one_passes(self, prior):
        assert as_prior(prior) is prior

    def test_by_source_or_by_options(self, folder):
        with loaded_once():
            held = as_prior(folder)
            assert as_prior(str(folder)) is as_prior(dict(source=folder)) is held
        assert as_prior(dict(source=str(folder), dtype='float16')).dtype == torch.float16

    @pytest.mark.parametrize(
        ('given', 'message'),
        [
            (dict(source='tiny', dtpye='float16'), "prior has no option 'dtpye': did you mean 'dtype'"),
            (dict(source='tiny', vae_slicing=True), "prior has no option 'vae_slicing'"),
            (dict(dtype='float16'), "prior: expected the option 'source'"),
            (dict(source='tiny', dtype='int8'), r"dtype: expected one of .*'float16'.*, got 'int8'"),
        ],
    )
    def test_what_is_misspelt_or_missing_is_named_before_any_load(self, loads, given, message):
        with pytest.raises(ValueError, match=message):
            build_refiner(dict(type='G4SegRefiner', prior=given))
        assert not loads


class TestFamilyOfYourOwn:
    """One class and one decorator; the index of its folders names it."""

    @pytest.fixture
    def own(self, monkeypatch):
        monkeypatch.setattr(registry, '_PARTS', dict(registry._PARTS))

        @registry.register
        class LoudPrior(StableDiffusionPrior):
            pipelines = ('LoudPipeline',)

            def denoise(self, noisy, timestep, prompts, injection=None):
                return 2 * super().denoise(noisy, timestep, prompts, injection)

        return LoudPrior

    def test_its_folder_is_loaded_and_named_in_a_config(self, own, folder):
        plain = load_prior(folder)
        edit_config(folder / 'model_index.json', _class_name='LoudPipeline')
        refiner = build_refiner(dict(type='G4SegRefiner', prior=str(folder), image_size=IMAGE_SIZE))
        assert type(refiner.prior) is own
        prompts = plain.encode_prompts([['sky']], 'a photo of {name}')
        noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        expected = 2 * plain.denoise(noisy, 400, prompts)
        torch.testing.assert_close(refiner.prior.denoise(noisy, 400, prompts), expected)
        image, coarse = random_case()
        assert torch.isfinite(refiner.refine(image, coarse, NAMES).probs).all()

    def test_what_is_not_registered_is_not_loaded(self, folder):
        edit_config(folder / 'model_index.json', _class_name='LoudPipeline')
        with pytest.raises(ValueError, match=r"expected a pipeline of \['Flux.*, got 'LoudPipeline'"):
            load_prior(folder)
