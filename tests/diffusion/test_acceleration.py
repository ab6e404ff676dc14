"""Faster, and the same: memory layout and compiled blocks."""

import torch

from mmseg_g4seg.diffusion.loading import load_prior
from tests.diffusion.injections import inject


def test_convolutions_are_laid_out_channels_last(prior):
    for network in (prior.vae, prior.denoiser):
        weights = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.shape[1] > 1]
        assert len(weights) > 10
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_compiled_blocks_give_the_same_with_and_without_injection(prior_folder, monkeypatch):
    """Compiled by a back-end that runs the graphs as they are: no compiler is needed, and none may be there."""
    graphs, own = [], torch.nn.Module.compile

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self, **options: own(self, backend=backend, **options))
    plain, compiled = load_prior(prior_folder), load_prior(prior_folder, compiled=True)
    encoded = plain.encode_prompts([['fish']], 'a photo of {name}')
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    injection = inject(torch.ones(1, 1, 8, 8), encoded.token_masks)
    for given in (None, injection):
        expected = plain.denoise(latents, 300, encoded, given)
        torch.testing.assert_close(compiled.denoise(latents, 300, encoded, given), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(compiled.decode_latents(latents), plain.decode_latents(latents), atol=1e-5, rtol=1e-4)
    assert len(graphs) > 5
    before = len(graphs)
    compiled.denoise(latents, 300, encoded, injection)
    assert len(graphs) == before, 'exchanged attention processors compile nothing anew'
