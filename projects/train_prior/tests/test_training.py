"""A whole training, in a few steps."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer
from mmseg_g4seg.hosts.arrays import load_refiner
from projects.demo.scenes.compose import CLASSES
from projects.train_prior import architecture
from projects.train_prior.architecture import TEXT_LENGTH, PriorParts
from projects.train_prior.data import TrainingData, load_data
from projects.train_prior.denoiser import DenoiserSettings, Reports
from projects.train_prior.doubts import DoubtSettings
from projects.train_prior.prior import PriorTraining, starting_parts, text_length, train_prior, warm_start

pytestmark = pytest.mark.slow


def folders(scenes, **options):
    return TrainingData(
        **{
            'images': scenes / 'images/train',
            'classes': scenes / 'classes.txt',
            'labels': scenes / 'labels/train',
            **options,
        }
    )


def task(scenes, data=None, **options):
    """With a small U-Net, unless the options have other widths."""
    given = {'size': (32, 32), 'vae_steps': 1, 'widths': (16, 16, 16), **options}
    return PriorTraining(data or folders(scenes), **given)


SETTINGS = DenoiserSettings(steps=2, batch_size=4, reports=Reports(draws=2, sampling_steps=2))
EACH_STEP = replace(SETTINGS, reports=replace(SETTINGS.reports, every=1))


@pytest.fixture(scope='module')
def trained(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    train_prior(task(scenes, half=True, widths=None), EACH_STEP, folder)
    return folder


@pytest.fixture(scope='module')
def trained_in_float(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    train_prior(task(scenes), SETTINGS, folder)
    return folder


class TestPrior:
    def test_result_is_a_prior_in_half_precision(self, trained):
        prior = load_prior(trained / 'prior')
        assert prior.image_multiple == 16
        size = sum(f.stat().st_size for f in (trained / 'prior').rglob('*') if f.is_file())
        assert size < 15e6
        embeds = prior.encode_prompts([['sky']], 'a photo of {name}')
        assert torch.isfinite(prior.denoise(torch.randn(1, 4, 16, 16), 400, embeds)).all()

    def test_its_text_side_has_the_files_of_transformers_4(self, trained):
        weights = load_file(trained / 'prior/text_encoder/model.safetensors')
        assert {name.split('.')[0] for name in weights} == {'text_model'}
        folder = trained / 'prior/tokenizer'
        vocabulary = json.loads((folder / 'vocab.json').read_text())
        assert vocabulary == PriorParts.load(trained / 'prior').tokenizer.get_vocab()
        merges = [tuple(line.split(' ')) for line in (folder / 'merges.txt').read_text().splitlines()[1:]]
        assert merges == [tuple(m) for m in json.loads((folder / 'tokenizer.json').read_text())['model']['merges']]
        assert all(''.join(pair) in vocabulary for pair in merges)

    def test_is_asked_about_the_classes_that_it_was_shown(self, scenes, tmp_path):
        names = [*(scenes / 'classes.txt').read_text().split('\n')[:-1], 'unicorn']
        (tmp_path / 'classes.txt').write_text('\n'.join(names))
        folder = train_prior(task(scenes, folders(scenes, classes=tmp_path / 'classes.txt')), SETTINGS, tmp_path)
        known = load_refiner(folder).refiner.class_options['known']
        assert 'sky' in known
        assert set(names) - set(known) == {'unicorn'}

    def test_validation_on_other_images(self, scenes, tmp_path):
        mirrored = shutil.copytree(scenes / 'images/train', tmp_path / 'mirrored')
        for path in mirrored.iterdir():
            Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
        others = {'validation_images': mirrored, 'validation_labels': scenes / 'labels/train'}
        training, validation = load_data(folders(scenes, **others), size=(64, 64), views=2)
        assert (len(training), len(validation)) == (12, 6), 'none is held out, each is shown whole'
        assert torch.equal(validation.images, training.images[::2].flip(-1))
        training, validation = load_data(folders(scenes), size=(64, 64), views=2)
        assert (len(training), len(validation)) == (10, 1)
        table = {p.stem: ['sky'] for p in (scenes / 'images/train').iterdir()}
        (tmp_path / 'tags.json').write_text(json.dumps(table))
        known = {'labels': None, 'validation_labels': None, 'tags': tmp_path / 'tags.json'}
        tagged = folders(scenes, **{**others, **known})
        assert load_data(tagged, size=(64, 64))[1].present == [[0]] * 6

    def test_logs_and_samples(self, trained):
        lines = (trained / 'denoiser_log.csv').read_text().split('\n')
        assert lines[0].startswith('step,training_loss,validation_empty')
        assert len(lines) == 4
        assert 'validation_psnr_db' in (trained / 'vae_log.csv').read_text()
        assert Image.open(trained / 'samples/000002.png').size == (32, 96)

    def test_goes_on_where_it_stopped(self, scenes, trained, tmp_path):
        """Stopped after one step and called again, it takes the other alone (weights: `test_a_killed_loop_goes_on`)."""
        train_prior(task(scenes, half=True), replace(EACH_STEP, max_minutes=0), tmp_path)
        assert torch.load(tmp_path / 'denoiser_state.pt', weights_only=True)['step'] == 1
        train_prior(task(scenes, half=True), EACH_STEP, tmp_path)
        steps = [line.split(',')[0] for line in (tmp_path / 'denoiser_log.csv').read_text().splitlines()[1:]]
        assert steps == ['1', '2']
        assert len((tmp_path / 'vae_log.csv').read_text().splitlines()) == 2, 'the autoencoder is not trained again'

    def test_goes_on_with_the_same_options_alone(self, scenes, trained_in_float, tmp_path):
        with pytest.raises(FileNotFoundError):
            train_prior(task(scenes, folders(scenes, labels=tmp_path), views=3), SETTINGS, tmp_path)  # nothing is begun
        shutil.copytree(trained_in_float, tmp_path, dirs_exist_ok=True)
        before = (tmp_path / 'prior/refiner.json').read_bytes()
        for changed, settings, message in (
            (task(scenes), replace(SETTINGS, cross_weight=2.5), r'cross_weight was 1\.0, is 2\.5'),
            (task(scenes), replace(SETTINGS, doubts=DoubtSettings(0.5)), r"doubts was {'weight': 0\.0.*'weight': 0\.5"),
            (task(scenes, views=2), SETTINGS, 'views was 1, is 2'),
            (task(scenes, seed=1), SETTINGS, 'seed was 0, is 1'),
        ):
            with pytest.raises(ValueError, match=message):
                train_prior(changed, settings, tmp_path)
        assert (tmp_path / 'prior/refiner.json').read_bytes() == before
        train_prior(task(scenes), replace(SETTINGS, steps=3), tmp_path)
        assert torch.load(tmp_path / 'denoiser_state.pt', weights_only=True)['step'] == 3

    def test_another_seed_is_another_training(self, scenes, trained_in_float, tmp_path):
        again, other = (train_prior(task(scenes, seed=i), SETTINGS, tmp_path / f'{i}') for i in (0, 1))
        weights = [PriorParts.load(p).unet.conv_in.weight for p in (trained_in_float / 'prior', again, other)]
        torch.testing.assert_close(weights[0], weights[1])
        assert not torch.allclose(weights[0], weights[2], atol=1e-2)

    def test_the_refiner_leaves_the_background_without_a_name(self, scenes, tmp_path):
        settings = replace(SETTINGS, doubts=DoubtSettings(weight=0.2, background=0))
        found = json.loads((train_prior(task(scenes), settings, tmp_path) / 'refiner.json').read_text())
        assert (found['classes']['background'], found['update']['sharpness']) == ('sky', 20.0)

    def test_prompts_of_crowded_images_fit(self, scenes, tmp_path):
        """Thirty classes in each image, of doubts two more."""
        names = [*CLASSES, *(f'long-winded class number {i}' for i in range(40))]
        (tmp_path / 'classes.txt').write_text('\n'.join(names))
        table = {p.stem: names[: len(CLASSES) + 16] for p in (scenes / 'images/train').iterdir()}
        (tmp_path / 'tags.json').write_text(json.dumps(table))
        crowded = folders(scenes, labels=None, tags=tmp_path / 'tags.json', classes=tmp_path / 'classes.txt')
        parts = PriorParts.load(train_prior(task(scenes, crowded), SETTINGS, tmp_path / 'run'))
        assert parts.tokenizer.model_max_length == parts.text_encoder.config.max_position_embeddings > TEXT_LENGTH
        length = text_length(names, [list(range(20, 50))])
        PromptTokenizer(build_tokenizer(names, length))([names[20:52]])
        assert text_length(CLASSES, [[0, 1]]) == TEXT_LENGTH

    def test_warm_start(self, trained, scenes, tmp_path):
        names = (scenes / 'classes.txt').read_text().split()
        kept = warm_start(trained / 'prior', names[:3])
        assert len(kept.tokenizer) == len(PriorParts.load(trained / 'prior').tokenizer)
        spelled = [f'qwxjv{i}' for i in range(12)]
        fresh = warm_start(trained / 'prior', spelled)
        assert fresh.tokenizer('qwxjv1').input_ids != kept.tokenizer('qwxjv1').input_ids
        assert torch.equal(fresh.unet.conv_in.weight, kept.unet.conv_in.weight)
        result = train_prior(task(scenes, init=trained / 'prior', vae_steps=0, widths=None), SETTINGS, tmp_path)
        assert torch.equal(PriorParts.load(result).vae.decoder.conv_out.weight, kept.vae.decoder.conv_out.weight)

    def test_other_widths_take_a_new_unet(self, trained, scenes):
        names = (scenes / 'classes.txt').read_text().split()
        kept = starting_parts(task(scenes, init=trained / 'prior', widths=(48, 96, 128)), names, TEXT_LENGTH)
        wider = starting_parts(task(scenes, init=trained / 'prior', widths=(16, 32, 48)), names, TEXT_LENGTH)
        assert tuple(wider.unet.config.block_out_channels) == (16, 32, 48)
        first = PriorParts.load(trained / 'prior')
        assert torch.equal(kept.unet.conv_in.weight, first.unet.conv_in.weight)
        assert torch.equal(wider.vae.decoder.conv_out.weight, first.vae.decoder.conv_out.weight)
        with pytest.raises(ValueError, match='widths: expected three multiples of 16'):
            task(scenes, widths=(48, 96))

    def test_half_precision_is_written_in_shards(self, trained, tmp_path, monkeypatch):
        monkeypatch.setattr(architecture, 'LARGEST_FILE', '4MB')
        PriorParts.load(trained / 'prior').save(tmp_path / 'prior', half=True)
        assert len(list((tmp_path / 'prior/unet').glob('*.safetensors'))) > 2
        assert all(path.stat().st_size < 4.1e6 for path in (tmp_path / 'prior').rglob('*.safetensors'))
        latents, embeds = torch.randn(1, 4, 16, 16), load_prior(trained / 'prior').encode_prompts([['sky']], '{name}')
        outputs = [
            load_prior(folder).denoise(latents, 400, embeds) for folder in (trained / 'prior', tmp_path / 'prior')
        ]
        assert torch.equal(*outputs)

    def test_bad_tasks(self, scenes):
        with pytest.raises(ValueError, match='multiples of 16'):
            task(scenes, size=(64, 50))
        with pytest.raises(ValueError, match='validation_labels: expected validation_images'):
            folders(scenes, validation_labels=scenes)
        with pytest.raises(ValueError, match='validation_images: expected validation_labels or tags'):
            folders(scenes, labels=None, validation_images=scenes)
        with pytest.raises(ValueError, match='expected init'):
            task(scenes, vae_steps=0)

    def test_tags_have_no_doubts(self, scenes, tmp_path):
        tagged = task(scenes, folders(scenes, labels=None, tags=scenes / 'tags.json'))
        with pytest.raises(ValueError, match='doubt_weight: expected labels'):
            train_prior(tagged, replace(SETTINGS, doubts=DoubtSettings(0.5)), tmp_path / 'run')
        assert not (tmp_path / 'run').exists()
