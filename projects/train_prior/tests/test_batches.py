"""What a batch shows of its entries."""

import torch


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
