import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mmseg_g4seg.diffusion.loading import EMBEDDED_PRIORS, load_prior
from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer
from mmseg_g4seg.hosts.arrays import load_refiner
from projects.demo.scenes.compose import CLASSES
from projects.demo.scenes.folder import write_split
from projects.train_prior.architecture import TEXT_LENGTH, PriorParts, build_prior
from projects.train_prior.batches import Batch, LatentSet
from projects.train_prior.data import TrainingData, load_data, split_validation
from projects.train_prior.denoiser import Denoiser, DenoiserSettings, Reports, validation_losses
from projects.train_prior.doubts import Doubts, DoubtSettings, doubt_loss, doubted_region, doubts_settled, draw_doubts
from projects.train_prior.images import TrainingImages, change_light, load_training_images
from projects.train_prior.loop import train
from projects.train_prior.prior import PriorTraining, text_length, train_prior, warm_start


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    list(write_split(root, 'train', 6, size=64))
    return root


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
    return PriorTraining(data or folders(scenes), **{'size': (64, 64), 'vae_steps': 1, **options})


SETTINGS = DenoiserSettings(steps=2, batch_size=4, reports=Reports(draws=2, sampling_steps=2))
EACH_STEP = replace(SETTINGS, reports=replace(SETTINGS.reports, every=1))


@pytest.fixture(scope='module')
def trained(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    train_prior(task(scenes, half=True), EACH_STEP, folder)
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
        others = {'validation_images': scenes / 'images/train', 'validation_labels': scenes / 'labels/train'}
        training, validation = load_data(folders(scenes, **others), size=(64, 64), views=2)
        assert (len(training), len(validation)) == (12, 6), 'none is held out, each is shown whole'
        assert torch.equal(validation.images, training.images[::2])
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
        assert Image.open(trained / 'samples/000002.png').size == (64, 192)

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
        result = train_prior(task(scenes, init=trained / 'prior', vae_steps=0), SETTINGS, tmp_path)
        assert torch.equal(PriorParts.load(result).vae.decoder.conv_out.weight, kept.vae.decoder.conv_out.weight)

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


class TestImages:
    def load(self, scenes, **options):
        arguments = {'labels': scenes / 'labels/train', 'size': (32, 48), **options}
        return load_training_images(scenes / 'images/train', CLASSES, **arguments)

    def test_views(self, scenes):
        data = self.load(scenes, views=3)
        assert data.images.shape == (18, 3, 32, 48)
        assert data.label_maps.shape == (18, 32, 48)
        labels = np.array(Image.open(scenes / 'labels/train/00001.png'))
        assert set(data.present[3]) <= set(np.unique(labels).tolist())
        training, validation = split_validation(data, 3)
        assert len(training) == 15
        assert len(validation) == 1

    def test_light_changes_the_crops_alone(self, scenes):
        plain, lit = self.load(scenes, views=3), self.load(scenes, views=3, light=1.0)
        same = (plain.images == lit.images).flatten(1).all(dim=1)
        assert same[::3].all(), 'the whole views, which validation takes'
        assert not same[1::3].any()
        assert plain.images.shape == lit.images.shape
        pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
        assert np.array_equal(change_light(pixels, 0.0, np.random.default_rng(0)), pixels)
        means = [change_light(pixels, 1.0, np.random.default_rng(i)).mean() for i in range(100)]
        assert 40 < min(means) < 0.7 * pixels.mean()
        assert pixels.mean() < max(means) < 200
        assert np.mean(means) < pixels.mean()

    def test_tags(self, scenes, tmp_path):
        table = {f'{i:05d}': ['sky', 'fish'] for i in range(6)}
        (tmp_path / 'tags.json').write_text(json.dumps(table))
        data = self.load(scenes, labels=None, tags=tmp_path / 'tags.json')
        assert data.label_maps is None
        assert data.present[0] == [CLASSES.index('sky'), CLASSES.index('fish')]
        (tmp_path / 'tags.json').write_text(json.dumps({**table, '00003': ['whale']}))
        with pytest.raises(ValueError, match=r"00003\.png: \['whale'\]"):
            self.load(scenes, labels=None, tags=tmp_path / 'tags.json')
        (tmp_path / 'tags.json').write_text(json.dumps({'00000': ['sky']}))
        with pytest.raises(ValueError, match='no entry'):
            self.load(scenes, labels=None, tags=tmp_path / 'tags.json')

    def test_bad_folders(self, scenes, tmp_path):
        with pytest.raises(ValueError, match='found none'):
            load_training_images(tmp_path, CLASSES, size=(32, 32), labels=tmp_path)
        with pytest.raises(ValueError, match='both or neither'):
            self.load(scenes, labels=None)
        with pytest.raises(FileNotFoundError, match=r'00000\.png'):
            self.load(scenes, labels=tmp_path)
        Image.fromarray(np.full((64, 64), 77, np.uint8)).save(tmp_path / '00000.png')
        with pytest.raises(ValueError, match=r'got \[77\]'):
            self.load(scenes, labels=tmp_path)


@pytest.fixture(scope='module')
def latents(scenes):
    data = load_training_images(scenes / 'images/train', CLASSES, size=(64, 64), labels=scenes / 'labels/train')
    torch.manual_seed(0)
    return LatentSet(data, build_prior(CLASSES).vae.eval(), 'cpu')


class TestBatches:
    def test_views_of_an_entry(self, latents):
        generator = torch.Generator().manual_seed(0)
        batch = latents.assemble([0] * 4, [0] * 4, ['empty', 'caption', 'one class', 'all classes'], generator)
        present = latents.data.present[0]
        assert [len(p) for p in batch.prompts] == [0, len(present), 1, len(present)]
        assert batch.region_masks.shape == (4, len(present), 16, 16)
        assert batch.region_masks[:2].sum() == 0
        label_map = latents.data.label_maps[0]
        for region, name in enumerate(batch.prompts[3]):
            expected = torch.nn.functional.avg_pool2d((label_map == name).float()[None, None], 4)[0, 0]
            torch.testing.assert_close(batch.region_masks[3, region], expected)

    def test_mirror_image_has_mirrored_masks(self, latents):
        def masks(mirrored):
            generator = torch.Generator().manual_seed(0)
            return latents.assemble([0], [mirrored], ['all classes'], generator).region_masks

        torch.testing.assert_close(masks(1), masks(0).flip(-1))

    def test_shares(self, latents):
        batch = latents.draw(8, (1, 0, 0, 0), torch.Generator().manual_seed(0))
        assert all(prompt == [] for prompt in batch.prompts)


def _filled(layouts, others, i):
    """The class that fills image i's region in these layouts, and not in the others."""
    share = (layouts.region_masks[i] - others.region_masks[i]).clamp_min(0).sum(dim=(1, 2))
    return layouts.prompts[i][int(share.argmax())]


class TestDoubts:
    """Of two classes, which one fills a region of doubt."""

    def test_layouts_differ_in_the_region_alone(self, latents):
        doubts = draw_doubts(latents, 12, torch.Generator().manual_seed(0), rivals=0.6)
        assert doubts.first.prompts == doubts.second.prompts
        assert torch.equal(doubts.first.latents, doubts.second.latents)
        differ = (doubts.first.region_masks != doubts.second.region_masks).any(dim=1)
        assert 0.05 < differ.float().mean() < 0.7
        assert not doubts.truth[~differ].any()
        right = torch.stack([(doubts.truth > 0).flatten(1).any(dim=1), (doubts.truth < 0).flatten(1).any(dim=1)])
        assert right.any(dim=0).all(), 'every region shows one of its classes'
        assert right.all(dim=0).any(), 'some show both'
        assert not right.all(), 'and some one alone, the other being that of another image'

    def test_without_rivals_every_region_shows_both_classes(self, latents):
        truth = draw_doubts(latents, 24, torch.Generator().manual_seed(0)).truth.flatten(1)
        assert (truth > 0).any(dim=1).all()
        assert (truth < 0).any(dim=1).all()

    @pytest.mark.parametrize('rivals', [-0.1, 6])
    def test_rivals_out_of_range(self, rivals):
        with pytest.raises(ValueError, match=f'rivals: expected a share .*got {rivals}'):
            DoubtSettings(rivals=rivals)

    def test_truth_says_which_layout_is_right(self, latents):
        doubts = draw_doubts(latents, 24, torch.Generator().manual_seed(1))
        cells = (doubts.truth.abs() == 1).nonzero().tolist()  # in the region, and all of one of the two classes
        assert len(cells) > 100
        for i, y, x in cells:
            right, wrong = (b.region_masks[i, :, y, x] for b in (doubts.first, doubts.second))
            if doubts.truth[i, y, x] < 0:
                right, wrong = wrong, right
            assert right.max() == wrong.max() == 1
            assert right.argmax() != wrong.argmax()

    def test_background_has_no_region(self, latents):
        doubts = draw_doubts(latents, 12, torch.Generator().manual_seed(0), background=0)
        assert not any(0 in named for named in doubts.first.prompts)
        assert any(masks.sum(dim=0).min() == 0 for masks in doubts.first.region_masks)

    def test_loss_by_hand(self):
        layouts = Batch(torch.zeros(1, 4, 1, 4), [[0, 1]], torch.zeros(1, 2, 1, 4))
        doubts = Doubts(layouts, layouts, torch.tensor([[[1.0, 0.5, -0.5, 0.0]]]))
        errors = torch.tensor([[[0.1, 0.1, 0.1, 9.0]], [[0.3, 0.0, 0.2, 0.0]]])
        surprise = [np.log1p(np.exp(-10 * margin)) for margin in (0.2, -0.1, -0.1)]
        by_hand = ((surprise[0] * 1 + surprise[1] * 0.5) / 1.5 + surprise[2]) / 2
        assert doubt_loss(errors, doubts, 10.0).item() == pytest.approx(by_hand)
        assert doubts_settled(errors, doubts) == pytest.approx((1 / 1.5 + 0) / 2)
        nothing = Doubts(layouts, layouts, torch.zeros(1, 1, 4))
        assert doubt_loss(errors, nothing, 10.0).item() == 0

    def test_preferring_a_layout_whatever_the_image_shows_settles_half(self, latents):
        doubts = draw_doubts(latents, 400, torch.Generator().manual_seed(0), rivals=0.6)
        errors = torch.cat([torch.zeros(400, 16, 16), torch.ones(400, 16, 16)])
        assert doubts_settled(errors, doubts) == pytest.approx(0.5, abs=0.06)

    def test_preferring_a_class_whatever_the_image_shows_settles_half(self, latents):
        """Of two classes in doubt, each is as often the true one: here the lower index is preferred."""
        doubts = draw_doubts(latents, 400, torch.Generator().manual_seed(1), rivals=0.6)
        lower_first = [
            _filled(doubts.first, doubts.second, i) < _filled(doubts.second, doubts.first, i) for i in range(400)
        ]
        first = torch.where(torch.tensor(lower_first), 0.0, 1.0)[:, None, None].expand(400, 16, 16)
        assert doubts_settled(torch.cat([first, 1 - first]), doubts) == pytest.approx(0.5, abs=0.06)

    @pytest.mark.parametrize('seed', range(8))
    def test_regions_are_neither_empty_nor_everything(self, latents, seed):
        region = doubted_region(latents.label_map(seed % 6, 0), torch.Generator().manual_seed(seed))
        assert region.shape == (64, 64)
        assert 0.02 < region.float().mean() < 0.95

    def test_an_unlabelled_image(self, latents):
        blank = torch.full_like(latents.data.label_maps, 255)
        images = TrainingImages(latents.data.images, blank, [[] for _ in range(6)], CLASSES)
        empty = copy.copy(latents)
        empty.data = images
        assert not draw_doubts(empty, 3, torch.Generator().manual_seed(0)).truth.any()

    def test_training_settles_doubts(self, scenes):
        """The embedded prior, a few steps on the doubts that it is asked about."""
        data = load_training_images(scenes / 'images/train', CLASSES, size=(64, 64), labels=scenes / 'labels/train')
        parts = PriorParts.load(EMBEDDED_PRIORS['tiny'])
        settings = DenoiserSettings(batch_size=8, cross_weight=3.0)
        latents, denoiser = LatentSet(data, parts.vae.eval(), 'cpu'), Denoiser(parts, CLASSES, settings)
        doubts = draw_doubts(latents, 4, torch.Generator().manual_seed(0))

        def unlikely() -> torch.Tensor:
            errors = denoiser.doubt_errors(doubts, torch.Generator().manual_seed(1))
            return doubt_loss(errors, doubts, 20.0)

        before = unlikely().item()
        optimizer = torch.optim.AdamW(denoiser.parameters(), 3e-4)
        for _ in range(4):
            optimizer.zero_grad()
            unlikely().backward()
            optimizer.step()
        assert unlikely().item() < 0.8 * before

    def test_the_training_loss_has_its_share_of_doubts(self, latents):
        def loss(weight: float, rivals: float = 0.6) -> float:
            torch.manual_seed(0)
            settings = DenoiserSettings(batch_size=8, doubts=DoubtSettings(weight, rivals), cross_weight=3.0)
            with torch.no_grad():
                return (
                    Denoiser(build_prior(CLASSES), CLASSES, settings)
                    .loss(latents, torch.Generator().manual_seed(0))
                    .item()
                )

        doubts = loss(2.0) - loss(1.0)
        assert 0.1 < doubts < 5
        assert loss(3.0) - loss(1.0) == pytest.approx(2 * doubts, rel=1e-3)
        assert loss(1.0, rivals=1.0) != loss(1.0, rivals=0.0)

    def test_validation_draws_the_same_at_every_call(self, latents):
        torch.manual_seed(0)
        parts = build_prior(CLASSES, widths=(16, 16, 16))

        def losses(draws: int) -> dict[str, float]:
            denoiser = Denoiser(parts, CLASSES, DenoiserSettings(reports=Reports(draws=draws)))
            with torch.no_grad():
                return validation_losses(denoiser, latents)

        first, fewer = losses(17), losses(2)
        assert first == losses(17), 'in batches of 16, the last one smaller'
        assert all(first[name] != fewer[name] for name in first)
        assert all(0 < first[f'validation_{name}_settled'] < 1 for name in ('doubts', 'rivals'))

    def test_tags_have_no_regions(self, latents):
        tagged = copy.copy(latents)
        tagged.data = TrainingImages(latents.data.images, None, latents.data.present, CLASSES)
        with pytest.raises(ValueError, match='label maps, got tags'):
            draw_doubts(tagged, 1, torch.Generator())


def test_a_killed_loop_goes_on(tmp_path):
    """Killed in its sixth step of eight, states saved every second: it goes on from the fifth, to the same weights."""

    def run(folder, kill_at=None):
        torch.manual_seed(0)
        network, drawn = torch.nn.Linear(3, 1), []

        def loss(generator):
            drawn.append(generator.initial_seed())
            if len(drawn) == kill_at:
                raise KeyboardInterrupt
            x = torch.randn(8, 3, generator=generator)
            return (network(x) - x.sum(dim=1, keepdim=True)).square().mean()

        folder.mkdir(exist_ok=True)
        options = dict(steps=8, learning_rate=0.1, folder=folder, name='line', save_every=2, warm_up=2)
        try:
            train(network, loss, report=lambda _: {}, **options)
        except KeyboardInterrupt:
            return None, drawn
        return network.weight.detach().clone(), drawn

    undisturbed, all_draws = run(tmp_path / 'undisturbed')
    _, first_draws = run(tmp_path / 'killed', kill_at=6)
    resumed, last_draws = run(tmp_path / 'killed')
    assert first_draws == all_draws[:6]
    assert last_draws == all_draws[4:]
    torch.testing.assert_close(resumed, undisturbed, atol=1e-7, rtol=0)


def test_loop_learns(tmp_path):
    network = torch.nn.Linear(3, 1)
    target = torch.tensor([[1.0, -2.0, 0.5]])

    def loss(generator):
        x = torch.randn(32, 3, generator=generator)
        return (network(x) - x @ target.T).square().mean()

    def report(step):
        return {'distance': float((network.weight - target).abs().max())}

    train(network, loss, steps=600, learning_rate=0.05, folder=tmp_path, name='line', report=report, report_every=200)
    assert (network.weight - target).abs().max() < 0.05
