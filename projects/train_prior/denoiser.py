"""The networks of the second stage, the U-Net and the text encoder, and their loss.

Shapes: B images, c latent channels, h w latent grid, R regions named in a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmseg_g4seg.diffusion.acceleration import use_channels_last
from mmseg_g4seg.diffusion.injection import MaskInjector, RegionLayout
from mmseg_g4seg.diffusion.injection.unet_layers import unet_attention_replaced
from mmseg_g4seg.diffusion.prediction import add_noise, noise_target
from mmseg_g4seg.ops.posterior import average_boxes

from .architecture import PriorParts
from .batches import Batch, LatentSet
from .doubts import Doubts, DoubtSettings, doubt_loss, doubts_settled, draw_doubts
from .draws import Drawer, Drawn
from .precision import mixed_precision

DOUBT_WINDOW = 3
SHARPNESS = 20.0
"""Side of the window in cells, and sharpness of the posterior: near the refiner's own."""


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
        if torch.device(settings.device).type == 'cuda':
            use_channels_last(self.unet)
        self.scheduler, self.settings, self.drawer = parts.scheduler, settings, Drawer(parts, classes)
        self.injector = MaskInjector(cross_weight=settings.cross_weight, self_weight=settings.self_weight)

    def forward(self, noisy: Tensor, timesteps: Tensor, prompts: Sequence[list[int]], masks: Tensor) -> Tensor:
        """Denoises under prompts and masks: (B, c, h, w) -> (B, c, h, w)."""
        input_ids, token_masks = self.drawer.tokenise(prompts, masks.shape[1])
        device = noisy.device
        return self._denoise(noisy, timesteps, input_ids.to(device), token_masks.to(device), masks.to(device))

    def draw(self, data: LatentSet, generator: torch.Generator) -> list[Drawn]:
        """What a step of training asks."""
        settings = self.settings
        return self.drawer.step(
            data, generator, batch_size=settings.batch_size, shares=settings.shares, doubts=settings.doubts
        )

    def loss(self, drawn: Sequence[Drawn]) -> Tensor:
        """What a step of training lowers, a scalar."""
        loss = torch.zeros((), device=self.settings.device)
        for asked in drawn:
            placed = asked.to(self.settings.device)
            errors = self._squared_errors(placed)
            # the refiner's own question, see `doubts.py`
            value = errors.mean() if placed.truth is None else doubt_loss(_windows(errors), placed.truth, SHARPNESS)
            loss = loss + asked.weight * value
        return loss

    def error(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error at random timesteps, the same for the same generator."""
        return self._squared_errors(self.drawer.plain(batch, generator).to(self.settings.device)).mean()

    def doubt_errors(self, doubts: Doubts, generator: torch.Generator) -> Tensor:
        """Errors of both layouts, averaged over windows, under the same noise at the same timesteps: (2 B, h, w)."""
        return _windows(self._squared_errors(self.drawer.doubts(doubts, generator).to(self.settings.device)))

    def _squared_errors(self, drawn: Drawn) -> Tensor:
        """(B, c, h, w) float32."""
        latents, noise, alphas = drawn.latents, drawn.noise, drawn.alphas
        noisy = add_noise(latents, noise, alphas)
        with mixed_precision(self.settings.device):
            output = self._denoise(noisy, drawn.timesteps, drawn.input_ids, drawn.token_masks, drawn.region_masks)
        target = noise_target(latents, noise, alphas, self.scheduler.config.prediction_type)
        return (output.float() - target).square()

    def _denoise(
        self, noisy: Tensor, timesteps: Tensor, input_ids: Tensor, token_masks: Tensor, region_masks: Tensor
    ) -> Tensor:
        """(B, c, h, w), (B,), (B, T), (B, R, T) and (B, R, h, w), all on one device -> (B, c, h, w)."""
        embeds = self.text_encoder(input_ids).last_hidden_state
        with unet_attention_replaced(self.unet, self.injector, RegionLayout(region_masks, token_masks)):
            return self.unet(noisy, timesteps, embeds).sample


def _windows(errors: Tensor) -> Tensor:
    """Averages errors over channels and windows: (B, c, h, w) -> (B, h, w)."""
    return average_boxes(errors.mean(dim=1), [DOUBT_WINDOW])


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
            # the last batch may be a small one, whose images count no more than others
            errors += [denoiser.error(batch, torch.Generator().manual_seed(start))] * len(chosen)
        losses[f'validation_{view.replace(" ", "_")}'] = float(torch.stack(errors).mean())
    if data.data.label_maps is not None:
        for name, rivals in (('doubts', 0.0), ('rivals', 1.0)):
            losses[f'validation_{name}_settled'] = _share_settled(denoiser, data, 3 * count, rivals)
    return losses


def _share_settled(denoiser: Denoiser, data: LatentSet, count: int, rivals: float, batch: int = 16) -> float:
    """How many of so many doubts the right layout settles, in [0, 1]; NaN where no image gives one."""
    generator, firsts, seconds, truths = torch.Generator().manual_seed(2), [], [], []
    for start in range(0, count, batch):
        drawn = min(batch, count - start)
        doubts = draw_doubts(data, drawn, generator, denoiser.settings.doubts.background, rivals)
        first, second = denoiser.doubt_errors(doubts, generator).chunk(2)
        firsts.append(first)
        seconds.append(second)
        truths.append(doubts.truth)
    # of all together: a batch in which few images have two classes counts by those few
    return doubts_settled(torch.cat([*firsts, *seconds]), torch.cat(truths))
