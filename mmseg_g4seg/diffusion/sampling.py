"""Draws pictures from text with classifier-free guidance; diffusers' schedulers do the stepping.

Shapes: B pictures, c latent channels, h w latent grid, H W picture size.

DDIM (arXiv 2010.02502) for U-Nets; LCM's own sampler where a U-Net was distilled to it (arXiv 2310.04378); Euler steps
for flow matching, at the levels of the family's pipeline, each rounded to the nearest training timestep.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.ops.noise import image_generator, image_noise, noise_key
from mmseg_g4seg.prediction import Key
from mmseg_g4seg.registry import NUMBER, expect_option

from .injection.attention_maps import AttentionMaps, recorded_attention
from .inversion import guide
from .prior import DiffusionPrior
from .text.encoded import EncodedPrompts

DDIM_STEPS, LCM_STEPS, FLOW_STEPS = 50, 4, 28
"""Defaults of the pipelines in diffusers."""
GUIDANCE_SCALE = 7.0
"""SeeDiff's."""


@dataclass(frozen=True)
class Schedule:
    """What a sampler visits, from noise to picture.

    Attributes:
        scheduler: of diffusers, ready to step.
        timesteps: training timesteps, at which the denoiser is asked.
        levels: what the scheduler calls them.
    """

    scheduler: Any
    timesteps: list[int]
    levels: Sequence[Any]


class PictureSampler:
    """Draws pictures of one size. A picture follows from prompt, seed and key alone, whatever the batch."""

    def __init__(
        self,
        prior: DiffusionPrior,
        *,
        image_size: Sequence[int],
        steps: int | None = None,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            prior: the diffusion model.
            image_size: (H, W).
            steps: 50 of DDIM, 4 of LCM and 28 of flow matching when not given.
            guidance_scale: of classifier-free guidance; 1 is none. When not given 7, but none with LCM, FLUX.1, or a
                prior that reads a scale itself.

        Raises:
            ValueError: if a number is out of range, or the prior is guided by the scale that it reads.
        """
        prior.check_image_size(image_size)
        self.prior, self.image_size = prior, (int(image_size[0]), int(image_size[1]))
        most = prior.num_train_timesteps
        if steps is not None:
            expected = f'an integer from 1 to {most}, the timesteps of this prior'
            expect_option('steps', steps, int, expected, holds=lambda v: 1 <= v <= most)
        if guidance_scale is not None:
            least = 'a finite number of at least 0'
            expect_option('guidance', guidance_scale, NUMBER, least, holds=lambda v: 0 <= v < math.inf)
        if prior.guidance_scale is not None and guidance_scale not in (None, 1):
            raise ValueError(
                f'guidance: expected 1, since this prior reads a guidance scale itself, {prior.guidance_scale} (which '
                f'is chosen when it is loaded), got {guidance_scale}'
            )
        guided = prior.is_guided and prior.guidance_scale is None and not _is_consistency(prior)
        self.guidance_scale = (GUIDANCE_SCALE if guided else 1.0) if guidance_scale is None else guidance_scale
        self.steps = steps
        self.schedule()

    def schedule(self) -> Schedule:
        """A new schedule: schedulers count their steps.

        Raises:
            ValueError: if the prior's scheduler has no such number of steps.
        """
        if self.prior.prediction_type == 'flow_prediction':
            return flow_schedule(self.prior, self.image_size, self.steps or FLOW_STEPS)
        schedule = diffusion_schedule(self.prior.scheduler.config, self.steps, lcm=_is_consistency(self.prior))
        for timestep in schedule.timesteps:
            self.prior.check_timestep(timestep)
        return schedule

    @torch.no_grad()
    def __call__(
        self, prompts: EncodedPrompts, *, keys: Sequence[Key], seed: int, maps: AttentionMaps | None = None
    ) -> Tensor:
        """Draws B pictures.

        Args:
            prompts: B prompts.
            keys: of the pictures.
            seed: of all draws.
            maps: filled with the attention of every pass that has the prompt.

        Returns:
            (B, c, h, w) float32 clean latents.
        """
        prior, schedule = self.prior, self.schedule()
        grid = [side // prior.latent_stride for side in self.image_size]
        noise = [image_noise((prior.latent_channels, *grid), seed=seed, key=noise_key(key)) for key in keys]
        latents = torch.stack(noise).to(prior.device)
        # LCM's steps draw noise: one generator a picture, so that its neighbours in the batch take none of it
        later = [image_generator(seed=seed, key=noise_key(key), draw=1) for key in keys]
        empty = prior.empty_prompts(len(keys)) if self.guidance_scale != 1 else None
        for timestep, level in zip(schedule.timesteps, schedule.levels, strict=True):
            with nullcontext() if maps is None else recorded_attention(maps):
                output = prior.denoise(latents, timestep, prompts)
            # a pass of its own, outside the recording: attention to the empty prompt says nothing of the classes
            if empty is not None:
                output = guide(prior.denoise(latents, timestep, empty), output, self.guidance_scale)
            latents = schedule.scheduler.step(output, level, latents, generator=later, return_dict=False)[0]
        return latents


def diffusion_schedule(config: Mapping[str, Any], steps: int | None, *, lcm: bool) -> Schedule:
    """DDIM's schedule, or LCM's, from a scheduler's config."""
    from diffusers import DDIMScheduler, LCMScheduler

    # diffusers' default clips clean latents to [-1, 1], as if they were pixels
    scheduler = (LCMScheduler if lcm else DDIMScheduler).from_config(config, clip_sample=False)
    scheduler.set_timesteps(steps or (LCM_STEPS if lcm else DDIM_STEPS))
    timesteps = scheduler.timesteps.tolist()
    return Schedule(scheduler, timesteps, timesteps)


def flow_schedule(prior: DiffusionPrior, image_size: Sequence[int], steps: int) -> Schedule:
    """Euler's schedule for flow matching.

    Args:
        prior: of flow matching.
        image_size: (H, W), which `use_dynamic_shifting` shifts the levels by.
        steps: levels to visit; fewer where two would be the same training timestep.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    own = FlowMatchEulerDiscreteScheduler.from_config(prior.scheduler.config)
    config = own.config
    if config.use_dynamic_shifting:
        tokens = image_size[0] * image_size[1] / prior.image_multiple**2
        slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
        shift = config.base_shift + slope * (tokens - config.base_image_seq_len)
        own.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps).tolist(), mu=shift)
    else:
        own.set_timesteps(steps)
    known = torch.tensor([1 - prior.alpha_cumprod(t) for t in range(prior.num_train_timesteps)])
    nearest = (own.sigmas[:-1, None] - known).abs().argmin(dim=1).tolist()
    timesteps = list(dict.fromkeys(nearest))
    # stepped from the very levels that the denoiser is told, which are shifted already
    scheduler = FlowMatchEulerDiscreteScheduler.from_config({'num_train_timesteps': prior.num_train_timesteps})
    scheduler.set_timesteps(sigmas=known[timesteps].tolist())
    return Schedule(scheduler, timesteps, scheduler.timesteps)


def _is_consistency(prior: DiffusionPrior) -> bool:
    """Whether the scheduler's config is LCM's."""
    return prior.scheduler.config.get('timestep_scaling') is not None
