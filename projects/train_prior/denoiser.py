"""The networks of the second stage, the U-Net and the text encoder, and their loss.

Shapes: B images, c latent channels, h w latent grid, R regions named in a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmseg_g4seg.diffusion.injection import MaskInjector, RegionLayout
from mmseg_g4seg.diffusion.injection.unet_layers import unet_attention_replaced
from mmseg_g4seg.diffusion.prediction import add_noise, noise_target
from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.ops.posterior import average_boxes

from .architecture import PriorParts
from .batches import Batch, LatentSet
from .captions import draw_caption_doubts
from .doubts import Doubts, DoubtSettings, doubt_loss, doubts_settled, draw_doubts
from .precision import mixed_precision

DOUBT_TIMESTEPS = (50, 650)
DOUBT_WINDOW = 3
SHARPNESS = 20.0
"""Range of timesteps, side of the window in cells, and sharpness of the posterior: near the refiner's own."""


@dataclass(frozen=True)
class Reports:
    """Looks at the averaged weights while a training runs: `validation_losses` and `save_samples`.

    Attributes:
        every: steps between reports.
        draws: held-out images of each validation loss, repeated where there are fewer; three times as many doubts.
        sampling_steps: steps of DDIM that each sample takes.
    """

    every: int = 500
    draws: int = 48
    sampling_steps: int = 20


@dataclass(frozen=True)
class DenoiserSettings:
    """How the denoiser is trained.

    Attributes:
        steps: steps in all.
        batch_size: images a step.
        learning_rate: AdamW's highest.
        cross_weight: injected bias in cross-attention.
        self_weight: injected bias in self-attention.
        shares: weights of the four views in `batches.VIEWS`; without label maps, the last two are
            captions.
        doubts: the loss of `doubts.py`.
        reports: when a report is made, and how thorough it is.
        max_minutes: stop after this long.
        device: where to train.
    """

    steps: int = 4000
    batch_size: int = 16
    learning_rate: float = 6e-4
    cross_weight: float = 1.0
    self_weight: float = 0.3
    shares: tuple[float, float, float, float] = (0.05, 0.1, 0.35, 0.5)
    doubts: DoubtSettings = field(default_factory=DoubtSettings)
    reports: Reports = field(default_factory=Reports)
    max_minutes: float = float('inf')
    device: str = 'cpu'


class Denoiser(nn.Module):
    """The networks that train together, and one pass through them."""

    def __init__(self, parts: PriorParts, classes: Sequence[str], settings: DenoiserSettings) -> None:
        super().__init__()
        self.unet, self.text_encoder = parts.unet.to(settings.device), parts.text_encoder.to(settings.device)
        self.scheduler, self.tokenizer = parts.scheduler, parts.tokenizer
        self.classes, self.settings = list(classes), settings
        self.prompt_tokenizer = PromptTokenizer(parts.tokenizer)
        self.injector = MaskInjector(cross_weight=settings.cross_weight, self_weight=settings.self_weight)

    def forward(self, noisy: Tensor, timesteps: Tensor, prompts: Sequence[list[int]], masks: Tensor) -> Tensor:
        """Denoises under prompts and masks: (B, c, h, w) -> (B, c, h, w)."""
        input_ids, token_masks = self._tokenise(prompts, masks.shape[1])
        embeds = self.text_encoder(input_ids.to(noisy.device)).last_hidden_state
        layout = RegionLayout(masks.to(noisy.device), token_masks.to(noisy.device))
        with unet_attention_replaced(self.unet, self.injector, layout):
            return self.unet(noisy, timesteps, embeds).sample

    def loss(self, data: LatentSet, generator: torch.Generator) -> Tensor:
        """What a step of training lowers, for a batch drawn from the generator."""
        settings, size, doubted = self.settings, self.settings.batch_size, self.settings.doubts
        asked = [weight for weight in (doubted.weight, doubted.caption_weight) if weight]
        if not asked:
            return self.error(data.draw(size, settings.shares, generator), generator)
        loss = self.error(data.draw(max(1, size // 4), settings.shares, generator), generator)
        # two passes a doubt: three quarters of the batch, whatever kinds there are
        count = max(1, 3 * size // (8 * len(asked)))
        if doubted.weight:
            doubts = draw_doubts(data, count, generator, doubted.background, doubted.rivals)
            loss = loss + doubted.weight * doubt_loss(self.doubt_errors(doubts, generator), doubts, SHARPNESS)
        if doubted.caption_weight:
            doubts = draw_caption_doubts(data, count, generator)
            loss = loss + doubted.caption_weight * doubt_loss(self.doubt_errors(doubts, generator), doubts, SHARPNESS)
        return loss

    def error(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error at random timesteps, the same for the same generator."""
        steps = self.scheduler.config.num_train_timesteps
        timesteps = torch.randint(steps, (len(batch.latents),), generator=generator)
        noise = torch.randn(batch.latents.shape, generator=generator)
        return self._squared_errors(batch, timesteps, noise).mean()

    def doubt_errors(self, doubts: Doubts, generator: torch.Generator) -> Tensor:
        """Errors of both layouts, averaged over windows, under the same noise at the same timesteps: (2 B, h, w)."""
        first, second = doubts.first, doubts.second
        timesteps = torch.randint(*DOUBT_TIMESTEPS, (len(first.latents),), generator=generator)
        noise = torch.randn(first.latents.shape, generator=generator)
        masks = torch.cat([first.region_masks, second.region_masks])
        both = Batch(first.latents.repeat(2, 1, 1, 1), [*first.prompts, *second.prompts], masks)
        errors = self._squared_errors(both, timesteps.repeat(2), noise.repeat(2, 1, 1, 1)).mean(dim=1)
        return average_boxes(errors, [DOUBT_WINDOW])

    def _squared_errors(self, batch: Batch, timesteps: Tensor, noise: Tensor) -> Tensor:
        """(B, c, h, w) float32."""
        device = self.settings.device
        latents, noise, alpha = batch.latents.to(device), noise.to(device), self.scheduler.alphas_cumprod[timesteps]
        with mixed_precision(device):
            output = self(add_noise(latents, noise, alpha), timesteps.to(device), batch.prompts, batch.region_masks)
        target = noise_target(latents, noise, alpha, self.scheduler.config.prediction_type)
        return (output.float() - target).square()

    def _tokenise(self, prompts: Sequence[list[int]], regions: int) -> tuple[Tensor, Tensor]:
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


def validation_losses(denoiser: Denoiser, data: LatentSet) -> dict[str, float]:
    """The error on held-out images, in each view, with the same noise at every call.

    With label maps also the shares of doubts that are settled: between two classes that a region shows, and
    between one that it shows and another image's.
    """
    count = denoiser.settings.reports.draws
    entries = [i % len(data.data) for i in range(count)]
    losses = {}
    for view in ('empty', 'caption', 'one class', 'all classes'):
        generator = torch.Generator().manual_seed(1)
        errors = []
        for start in range(0, count, 16):
            chosen = entries[start : start + 16]
            batch = data.assemble(chosen, [0] * len(chosen), [view] * len(chosen), generator)
            errors.append(denoiser.error(batch, torch.Generator().manual_seed(start)))
        losses[f'validation_{view.replace(" ", "_")}'] = float(torch.stack(errors).mean())
    if data.data.label_maps is not None:
        for name, rivals in (('doubts', 0.0), ('rivals', 1.0)):
            losses[f'validation_{name}_settled'] = _share_settled(denoiser, data, 3 * count, rivals)
    return losses


def _share_settled(denoiser: Denoiser, data: LatentSet, count: int, rivals: float, batch: int = 16) -> float:
    """How many of so many doubts the right layout settles, in [0, 1]."""
    generator, shares = torch.Generator().manual_seed(2), []
    for start in range(0, count, batch):
        drawn = min(batch, count - start)
        doubts = draw_doubts(data, drawn, generator, denoiser.settings.doubts.background, rivals)
        shares += [doubts_settled(denoiser.doubt_errors(doubts, generator), doubts)] * drawn
    return sum(shares) / len(shares)
