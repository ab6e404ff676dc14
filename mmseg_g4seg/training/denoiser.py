"""The networks of the second stage, the U-Net and the text encoder, and their loss.

Shapes: B images, c latent channels, h w latent grid, R regions named in a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..attention import MaskInjection, inject_masks
from ..diffusion.prediction import add_noise, noise_target
from ..prompts import PromptTokenizer
from .architecture import PriorParts
from .batches import Batch, LatentSet


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
        report_every: steps between reports and samples.
        max_minutes: stop after this long.
        device: where to train.
    """

    steps: int = 4000
    batch_size: int = 16
    learning_rate: float = 6e-4
    cross_weight: float = 1.0
    self_weight: float = 0.3
    shares: tuple[float, float, float, float] = (0.05, 0.1, 0.35, 0.5)
    report_every: int = 500
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

    def forward(self, noisy: Tensor, timesteps: Tensor, prompts: Sequence[list[int]], masks: Tensor) -> Tensor:
        """Denoises under prompts and masks: (B, c, h, w) -> (B, c, h, w)."""
        input_ids, token_masks = self._tokenise(prompts, masks.shape[1])
        embeds = self.text_encoder(input_ids.to(noisy.device)).last_hidden_state
        injection = MaskInjection(
            masks.to(noisy.device),
            token_masks.to(noisy.device),
            self.settings.cross_weight,
            self.settings.self_weight,
        )
        with inject_masks(self.unet, injection):
            return self.unet(noisy, timesteps, embeds).sample

    def error(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error at random timesteps, the same for the same generator."""
        device = self.settings.device
        count = len(batch.latents)
        timesteps = torch.randint(self.scheduler.config.num_train_timesteps, (count,), generator=generator)
        noise = torch.randn(batch.latents.shape, generator=generator).to(device)
        latents, alpha = batch.latents.to(device), self.scheduler.alphas_cumprod[timesteps]
        with torch.autocast(device, torch.bfloat16):
            output = self(add_noise(latents, noise, alpha), timesteps.to(device), batch.prompts, batch.region_masks)
        target = noise_target(latents, noise, alpha, self.scheduler.config.prediction_type)
        return F.mse_loss(output.float(), target)

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


def validation_losses(denoiser: Denoiser, data: LatentSet, count: int = 48) -> dict[str, float]:
    """The error on held-out images, in each view, with the same noise at every call."""
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
    return losses
