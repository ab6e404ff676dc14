"""What the steps of a training ask, drawn on the CPU: networks and devices have no part in it.

Shapes: B entries, c latent channels, h w latent grid, R regions named in a prompt, T text tokens.

So a step's draws are the same on every device, and other processes can make them while the device computes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer

from .architecture import PriorParts
from .batches import Batch, LatentSet
from .captions import draw_caption_doubts
from .doubts import Doubts, DoubtSettings, draw_doubts

DOUBT_TIMESTEPS = (50, 650)
"""Range of timesteps of doubts, near the refiner's own."""


class Drawn(NamedTuple):
    """One pass: a batch, what its prompts say, and its noise. (A named tuple is what data loaders pin.)

    Attributes:
        latents: (B, c, h, w) float32, scaled.
        noise: (B, c, h, w) float32.
        timesteps: (B,) int64.
        alphas: (B,) float32, cumulative alphas at the timesteps.
        input_ids: (B, T) int64.
        token_masks: (B, R, T) float32.
        region_masks: (B, R, h, w) float32.
        truth: (B / 2, h, w) float32 of doubts, see `Doubts`, else None.
        weight: of its loss in the step's.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    alphas: Tensor
    input_ids: Tensor
    token_masks: Tensor
    region_masks: Tensor
    truth: Tensor | None = None
    weight: float = 1.0

    def to(self, device: torch.device | str) -> 'Drawn':
        """The same on a device; from pinned memory nobody waits for the copies."""
        tensors = {name: v for name, v in self._asdict().items() if isinstance(v, Tensor)}
        moved: dict[str, Any] = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
        return self._replace(**moved)


class Drawer:
    """Draws passes for the prompts of one prior."""

    def __init__(self, parts: PriorParts, classes: Sequence[str]) -> None:
        """Args:
        parts: whose tokenizer and scheduler count.
        classes: what the indices in prompts stand for.
        """
        self.tokenizer, self.classes = parts.tokenizer, list(classes)
        self.prompt_tokenizer = PromptTokenizer(parts.tokenizer)
        self.alphas_cumprod = parts.scheduler.alphas_cumprod.cpu()

    def step(
        self,
        data: LatentSet,
        generator: torch.Generator,
        *,
        batch_size: int,
        shares: Sequence[float],
        doubts: DoubtSettings,
    ) -> list[Drawn]:
        """Draws what one step asks: entries to denoise first, then each kind of doubt that has a weight."""
        weights = [weight for weight in (doubts.weight, doubts.caption_weight) if weight]
        if not weights:
            return [self.plain(data.draw(batch_size, shares, generator), generator)]
        drawn = [self.plain(data.draw(doubts.denoised(batch_size), shares, generator), generator)]
        # two passes a doubt, whatever kinds there are
        count = max(1, int(doubts.share * batch_size / (2 * len(weights))))
        if doubts.weight:
            masked = draw_doubts(data, count, generator, doubts.background, doubts.rivals)
            drawn.append(self.doubts(masked, generator, doubts.weight))
        if doubts.caption_weight:
            named = draw_caption_doubts(data, count, generator)
            drawn.append(self.doubts(named, generator, doubts.caption_weight))
        return drawn

    def plain(self, batch: Batch, generator: torch.Generator) -> Drawn:
        """Noise for a batch, at any timestep."""
        timesteps = torch.randint(len(self.alphas_cumprod), (len(batch.latents),), generator=generator)
        return self._drawn(batch, timesteps, torch.randn(batch.latents.shape, generator=generator))

    def doubts(self, doubts: Doubts, generator: torch.Generator, weight: float = 1.0) -> Drawn:
        """Both layouts of each image under the same noise at the same timestep, all first ones before the second."""
        first, second = doubts.first, doubts.second
        timesteps = torch.randint(*DOUBT_TIMESTEPS, (len(first.latents),), generator=generator)
        noise = torch.randn(first.latents.shape, generator=generator)
        masks = torch.cat([first.region_masks, second.region_masks])
        both = Batch(first.latents.repeat(2, 1, 1, 1), [*first.prompts, *second.prompts], masks)
        drawn = self._drawn(both, timesteps.repeat(2), noise.repeat(2, 1, 1, 1))
        return drawn._replace(truth=doubts.truth, weight=weight)

    def _drawn(self, batch: Batch, timesteps: Tensor, noise: Tensor) -> Drawn:
        input_ids, token_masks = self.tokenise(batch.prompts, batch.region_masks.shape[1])
        alphas = self.alphas_cumprod[timesteps]
        return Drawn(batch.latents, noise, timesteps, alphas, input_ids, token_masks, batch.region_masks)

    def tokenise(self, prompts: Sequence[list[int]], regions: int) -> tuple[Tensor, Tensor]:
        """Tokenises class lists, no class being the empty prompt: (B, T) and (B, regions, T)."""
        length = self.prompt_tokenizer.length
        blank = self.tokenizer('', padding='max_length', max_length=length, return_tensors='pt').input_ids
        input_ids, token_masks = blank.repeat(len(prompts), 1), torch.zeros(len(prompts), regions, length)
        for row, prompt in enumerate(prompts):
            if prompt:
                tokenised = self.prompt_tokenizer([[self.classes[i] for i in prompt]])
                input_ids[row] = tokenised.input_ids[0]
                named = tokenised.token_masks[0, :regions]
                token_masks[row, : len(named)] = named
        return input_ids, token_masks
