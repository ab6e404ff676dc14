"""Doubts: of two classes, which one fills a region."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from projects.demo.scenes.compose import CLASSES
from projects.train_prior.architecture import PriorParts, build_prior
from projects.train_prior.batches import Batch, LatentSet
from projects.train_prior.denoiser import Denoiser, DenoiserSettings, Reports, validation_losses
from projects.train_prior.doubts import Doubts, DoubtSettings, doubt_loss, doubted_region, doubts_settled, draw_doubts
from projects.train_prior.images import TrainingImages, load_training_images


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
        assert doubt_loss(errors, doubts.truth, 10.0).item() == pytest.approx(by_hand)
        assert doubts_settled(errors, doubts.truth) == pytest.approx((1 / 1.5 + 0) / 2)
        nothing = Doubts(layouts, layouts, torch.zeros(1, 1, 4))
        assert doubt_loss(errors, nothing.truth, 10.0).item() == 0
        assert np.isnan(doubts_settled(errors, nothing.truth)), 'not 0: none is settled wrongly'

    @pytest.mark.slow
    def test_preferring_a_layout_whatever_the_image_shows_settles_half(self, latents):
        doubts = draw_doubts(latents, 400, torch.Generator().manual_seed(0), rivals=0.6)
        errors = torch.cat([torch.zeros(400, 16, 16), torch.ones(400, 16, 16)])
        assert doubts_settled(errors, doubts.truth) == pytest.approx(0.5, abs=0.06)

    @pytest.mark.slow
    def test_preferring_a_class_whatever_the_image_shows_settles_half(self, latents):
        """Of two classes in doubt, each is as often the true one: here the lower index is preferred."""
        doubts = draw_doubts(latents, 400, torch.Generator().manual_seed(1), rivals=0.6)
        lower_first = [
            _filled(doubts.first, doubts.second, i) < _filled(doubts.second, doubts.first, i) for i in range(400)
        ]
        first = torch.where(torch.tensor(lower_first), 0.0, 1.0)[:, None, None].expand(400, 16, 16)
        assert doubts_settled(torch.cat([first, 1 - first]), doubts.truth) == pytest.approx(0.5, abs=0.06)

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

    @pytest.mark.slow
    def test_training_settles_doubts(self, scenes):
        """The embedded prior, a few steps on the doubts that it is asked about."""
        data = load_training_images(scenes / 'images/train', CLASSES, size=(64, 64), labels=scenes / 'labels/train')
        parts = PriorParts.load(EMBEDDED_PRIORS['tiny'])
        settings = DenoiserSettings(batch_size=8, cross_weight=3.0)
        latents, denoiser = LatentSet(data, parts.vae.eval(), 'cpu'), Denoiser(parts, CLASSES, settings)
        doubts = draw_doubts(latents, 4, torch.Generator().manual_seed(0))

        def unlikely() -> torch.Tensor:
            errors = denoiser.doubt_errors(doubts, torch.Generator().manual_seed(1))
            return doubt_loss(errors, doubts.truth, 20.0)

        before = unlikely().item()
        optimizer = torch.optim.AdamW(denoiser.parameters(), 3e-4)
        for _ in range(4):
            optimizer.zero_grad()
            unlikely().backward()
            optimizer.step()
        assert unlikely().item() < 0.8 * before

    @pytest.mark.slow
    def test_the_training_loss_has_its_share_of_doubts(self, latents):
        def loss(weight: float, rivals: float = 0.6) -> float:
            torch.manual_seed(0)
            settings = DenoiserSettings(batch_size=8, doubts=DoubtSettings(weight, rivals), cross_weight=3.0)
            denoiser = Denoiser(build_prior(CLASSES, widths=(16, 16, 16)), CLASSES, settings)
            with torch.no_grad():
                return denoiser.loss(denoiser.draw(latents, torch.Generator().manual_seed(0))).item()

        doubts = loss(2.0) - loss(1.0)
        assert 0.1 < doubts < 5
        assert loss(3.0) - loss(1.0) == pytest.approx(2 * doubts, rel=1e-3)
        assert loss(1.0, rivals=1.0) != loss(1.0, rivals=0.0)

    def test_each_image_counts_alike_in_a_validation_loss(self, latents):
        """17 images in batches of 16 and of 1."""
        tagged = copy.copy(latents)
        tagged.data = TrainingImages(latents.data.images, None, latents.data.present, CLASSES)
        settings = DenoiserSettings(reports=Reports(draws=17))
        counted = SimpleNamespace(settings=settings, error=lambda batch, _: torch.tensor(float(len(batch.latents))))
        assert list(validation_losses(counted, tagged).values()) == pytest.approx([(16 * 16 + 1) / 17] * 4)

    @pytest.mark.slow
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
