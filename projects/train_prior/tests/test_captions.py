"""Captions of which one is true; B entries, h w latent grid."""

from copy import deepcopy

import pytest
import torch

from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from projects.demo.scenes.compose import CLASSES
from projects.train_prior.architecture import PriorParts
from projects.train_prior.batches import LatentSet
from projects.train_prior.captions import draw_caption_doubts
from projects.train_prior.denoiser import Denoiser, DenoiserSettings
from projects.train_prior.doubts import DoubtSettings, doubt_loss
from projects.train_prior.images import TrainingImages
from projects.train_prior.listening import measure


def images(label_maps=True):
    """Four pictures of 32 pixels: sky, and in each quarter one of four objects."""
    quarters = torch.tensor([[5, 6], [7, 8]]).repeat_interleave(16, 0).repeat_interleave(16, 1).byte()
    maps = torch.stack([quarters, quarters.flip(0), torch.zeros_like(quarters), quarters.flip(1)])
    present = [[5, 6, 7, 8], [5, 6, 7, 8], [0], [5, 6, 7, 8]]
    pixels = (maps[:, None].float() * 12).expand(-1, 3, -1, -1).byte()
    return TrainingImages(pixels, maps if label_maps else None, present, list(CLASSES))


@pytest.fixture(scope='module')
def parts():
    return PriorParts.load(EMBEDDED_PRIORS['tiny'])


@pytest.fixture(scope='module')
def latents(parts):
    return LatentSet(images(), parts.vae.eval(), 'cpu')


def draw(latents, count=8, seed=0):
    return draw_caption_doubts(latents, count, torch.Generator().manual_seed(seed))


class TestDraws:
    def test_captions_differ_in_one_name(self, latents):
        doubts = draw(latents)
        assert len(doubts.first.prompts) == 32, 'four windows an image'
        assert doubts.first.latents.shape[-2:] == (4, 4)
        assert torch.equal(doubts.first.latents, doubts.second.latents)
        assert not doubts.first.region_masks.any()
        assert not doubts.second.region_masks.any()
        for true, false in zip(doubts.first.prompts, doubts.second.prompts, strict=True):
            assert len(true) == len(false)
            assert sum(a != b for a, b in zip(true, false, strict=True)) == 1
            assert len(set(false)) == len(false), 'the false name is not there already'

    def test_truth_is_where_the_replaced_class_is(self, latents):
        """Of 4 x 4 cells those of one quarter; a window of sky alone has it all over."""
        doubts = draw(latents)
        for true, truth in zip(doubts.first.prompts, doubts.truth, strict=True):
            assert truth.max() > 0
            assert truth.eq(1).all() or true != [0]
        assert any(t.min() == 0 for t in doubts.truth)

    def test_numbers_of_names(self, latents):
        """One, two, or all that a window shows."""
        assert {len(prompt) for prompt in draw(latents, 32).first.prompts} == {1, 2, 4}

    def test_tags_alone(self, parts):
        """Whole images, and the truth is all over them."""
        doubts = draw(LatentSet(images(label_maps=False), parts.vae.eval(), 'cpu'))
        assert doubts.first.latents.shape == (8, 4, 8, 8)
        assert doubts.truth.eq(1).all()

    def test_nothing_is_shown(self, parts):
        shown = images()
        unlabelled = TrainingImages(shown.images, torch.full_like(shown.label_maps, 255), [[]] * 4, list(CLASSES))
        doubts = draw(LatentSet(unlabelled, parts.vae.eval(), 'cpu'))
        assert doubts.first.prompts == doubts.second.prompts == [[]] * 32
        assert not doubts.truth.any()


def test_training_tells_true_names_from_others(parts, latents):
    """The embedded prior, a few steps."""
    parts = deepcopy(parts)
    denoiser, doubts = Denoiser(parts, CLASSES, DenoiserSettings(cross_weight=3.0)), draw(latents, 2)

    def unlikely():
        return doubt_loss(denoiser.doubt_errors(doubts, torch.Generator().manual_seed(1)), doubts.truth, 20.0)

    before = unlikely().item()
    optimizer = torch.optim.AdamW(denoiser.parameters(), 1e-3)
    for _ in range(6):
        optimizer.zero_grad()
        unlikely().backward()
        optimizer.step()
    assert unlikely().item() < 0.9 * before


def test_the_training_loss_has_its_share_of_captions(parts, latents):
    def loss(weight):
        settings = DenoiserSettings(batch_size=4, doubts=DoubtSettings(caption_weight=weight), cross_weight=3.0)
        with torch.no_grad():
            denoiser = Denoiser(parts, CLASSES, settings)
            return denoiser.loss(denoiser.draw(latents, torch.Generator().manual_seed(0))).item()

    doubts = loss(2.0) - loss(1.0)
    assert 0.1 < doubts < 5
    assert loss(3.0) - loss(1.0) == pytest.approx(2 * doubts, rel=1e-3)


def test_listening_is_measured(parts, latents):
    denoiser = Denoiser(parts, CLASSES, DenoiserSettings(cross_weight=3.0))
    figures = measure(denoiser, latents)
    assert list(figures) == ['empty', 'caption', 'one class', 'all classes', 'true captions']
    assert 0 < figures['true captions'] < 1
    assert figures == measure(denoiser, latents), 'the same draws at every call'
