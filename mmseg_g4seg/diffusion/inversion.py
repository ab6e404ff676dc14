"""Null-text inversion (Mokady et al., arXiv 2211.09794): the noise from which a prior's own sampler gives an image
back, and embeddings of the empty prompt that keep it on course under guidance.

Shapes: B images, c latent channels, h w latent grid, S steps. Trajectories are lists of S + 1 tensors
(B, c, h, w), the clean latents first, then those at each timestep, ascending.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.registry import NUMBER, expect_option

from .injection.base import Injection
from .prediction import predict_noise, predict_x0
from .prior import DiffusionPrior
from .text.encoded import EncodedPrompts

InjectionAt = Callable[[int], Injection | None]
"""What is injected at a timestep."""

LOSS_SLACK = 2e-5
"""How much more each further step may leave of null-text's loss (the authors' constant)."""


@dataclass(frozen=True)
class InversionSettings:
    """How an image is inverted and generated anew.

    Attributes:
        steps: S, of the deterministic sampler.
        guidance_scale: of classifier-free guidance; 1 is none.
        inner_steps: most optimisation steps at each step.
        learning_rate: of Adam; falls by a hundredth of it a step.
        tolerance: loss, a mean square of latents, at which a step is left.

    Raises:
        ValueError: if a number is out of range.
    """

    steps: int = 50
    guidance_scale: float = 7.5
    inner_steps: int = 10
    learning_rate: float = 1e-2
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        for name, value in (('steps', self.steps), ('inner_steps', self.inner_steps)):
            expect_option(name, value, int, 'an integer of at least 1', holds=lambda v: v >= 1)
        least = 'a finite number of at least 0'
        expect_option('guidance', self.guidance_scale, NUMBER, least, holds=lambda v: 0 <= v < math.inf)


@dataclass(frozen=True)
class Sampler:
    """A deterministic sampler (DDIM, arXiv 2010.02502; Euler steps for flow matching) and its guidance.

    Attributes:
        prior: the model.
        prompts: B prompts.
        empty: the empty prompt, B times.
        settings: see there.

    Raises:
        ValueError: see `check_inversion`.
    """

    prior: DiffusionPrior
    prompts: EncodedPrompts
    empty: EncodedPrompts
    settings: InversionSettings

    def __post_init__(self) -> None:
        check_inversion(self.prior, self.settings)

    @property
    def timesteps(self) -> list[int]:
        """S timesteps, ascending, evenly spaced, the last one the prior's last."""
        last, steps = self.prior.num_train_timesteps, self.settings.steps
        # spaced from the end: from the start, 50 steps would end at 981, and generation begin below the last level
        return [(i + 1) * last // steps - 1 for i in range(steps)]

    def guided(self, noisy: Tensor, timestep: int, empty: EncodedPrompts, injection: Injection | None) -> Tensor:
        """The denoiser's guided output, (B, c, h, w); the mask goes into the pass that has the prompt."""
        named = self.prior.denoise(noisy, timestep, self.prompts, injection)
        # the empty prompt would cancel out, after a second pass
        if self.settings.guidance_scale == 1:
            return named
        return guide(self.prior.denoise(noisy, timestep, empty), named, self.settings.guidance_scale)

    def step(self, noisy: Tensor, output: Tensor, place: int) -> Tensor:
        """From a timestep to the one before it, or to clean latents: (B, c, h, w) twice -> (B, c, h, w)."""
        alpha = self.prior.alpha_cumprod(self.timesteps[place])
        clean = predict_x0(output, noisy, alpha, self.prior.prediction_type)
        # clean latents, not the schedule's first level: SD's leaves 3 % of noise in them
        if place == 0:
            return clean
        noise = predict_noise(output, noisy, alpha, self.prior.prediction_type)
        return self.prior.add_noise(clean, noise, self.timesteps[place - 1])


def check_inversion(prior: DiffusionPrior, settings: InversionSettings) -> None:
    """Raises ValueError where a prior cannot be inverted so: before any work.

    One that predicts clean latents alone has no noise at the start; one that was distilled to read a guidance scale is
    guided already, and FLUX.1 [schnell] needs no guidance; and there are no more steps than timesteps.
    """
    if prior.prediction_type == 'sample':
        raise ValueError("NullTextInversion: expected a prior that predicts noise, velocity or flow, got 'sample'")
    if prior.guidance_scale is not None and settings.guidance_scale != 1:
        raise ValueError(
            f'guidance: expected 1, since this prior reads a guidance scale itself ({prior.guidance_scale}), '
            f'got {settings.guidance_scale}'
        )
    if not prior.is_guided and settings.guidance_scale != 1:
        raise ValueError(
            f'guidance: expected 1, since this prior was distilled to need none, got {settings.guidance_scale}'
        )
    if settings.steps > prior.num_train_timesteps:
        raise ValueError(f'steps: expected at most {prior.num_train_timesteps}, got {settings.steps}')


def guide(empty: Tensor, named: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598): away from the empty prompt's output, (B, c, h, w) each."""
    return empty + scale * (named - empty)


@torch.no_grad()
def invert(sampler: Sampler, latents: Tensor) -> list[Tensor]:
    """Runs the sampler backwards, without guidance: clean latents (B, c, h, w) -> trajectory."""
    prior, trajectory, alpha = sampler.prior, [latents], 1.0
    for timestep in sampler.timesteps:
        noisy = trajectory[-1]
        # the noise at the next level is not known yet: what is predicted from this one stands for it, hence the drift
        output = prior.denoise(noisy, timestep, sampler.prompts)
        clean = predict_x0(output, noisy, alpha, prior.prediction_type)
        noise = predict_noise(output, noisy, alpha, prior.prediction_type)
        trajectory.append(prior.add_noise(clean, noise, timestep))
        alpha = prior.alpha_cumprod(timestep)
    return trajectory


def optimise_empty_prompts(sampler: Sampler, trajectory: Sequence[Tensor]) -> tuple[list[EncodedPrompts], Tensor]:
    """Null-text inversion: an embedding of the empty prompt for each step, under which guidance stays on course.

    Args:
        sampler: with B prompts.
        trajectory: of the images.

    Returns:
        The embeddings, ascending by timestep, and how many optimisation steps each image took at
        each, (S, B) int64.

    Raises:
        RuntimeError: under `torch.inference_mode`, where nothing can be optimised.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError('NullTextInversion: expected torch.no_grad() around it, got torch.inference_mode()')
    settings = sampler.settings
    # in float16 Adam's epsilon of 1e-8 is 0, and its first step 0 / 0 where there is no gradient
    embeds = sampler.empty.embeds.float()
    found: list[EncodedPrompts] = []
    taken: list[Tensor] = []
    noisy = trajectory[-1]
    for number, place in enumerate(reversed(range(settings.steps))):
        rate = settings.learning_rate * max(0.0, 1 - number / 100)
        enough = settings.tolerance + number * LOSS_SLACK
        embeds, inner = _optimise_step(sampler, noisy, trajectory[place], place, embeds, rate=rate, enough=enough)
        found.append(sampler.empty.with_embeds(embeds))
        taken.append(inner)
        with torch.no_grad():
            noisy = sampler.step(noisy, sampler.guided(noisy, sampler.timesteps[place], found[-1], None), place)
    return found[::-1], torch.stack(taken[::-1])


def _optimise_step(
    sampler: Sampler, noisy: Tensor, target: Tensor, place: int, embeds: Tensor, *, rate: float, enough: float
) -> tuple[Tensor, Tensor]:
    """One step's embeddings, from those of the step before; and how many optimisation steps each took.

    Every image is left where its own loss is small enough, so that the others do not touch it.
    """
    timestep, settings = sampler.timesteps[place], sampler.settings
    with torch.no_grad():
        named = sampler.prior.denoise(noisy, timestep, sampler.prompts)
    own = embeds.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([own], lr=rate)
    done, taken = torch.zeros(len(own), dtype=torch.bool), torch.zeros(len(own), dtype=torch.long)
    for _ in range(settings.inner_steps if rate > 0 else 0):
        with torch.enable_grad():
            empty = sampler.prior.denoise(noisy, timestep, sampler.empty.with_embeds(own))
            output = guide(empty, named, settings.guidance_scale)
            errors = (sampler.step(noisy, output, place) - target).square().flatten(1)  # (B, c * h * w)
            # of the sum, not of the mean: 16384 times smaller, most of SD 1.5's gradients would be 0 in float16
            loss = errors.sum()
        done |= errors.detach().mean(dim=1).cpu() < enough
        # before the backward pass, which takes twice as long as the forward one
        if done.all():
            break
        before = own.detach().clone()
        (gradient,) = torch.autograd.grad(loss, own, materialize_grads=True)
        own.grad = gradient / errors.shape[1]
        optimiser.step()
        # Adam's momentum would carry an image on that is good enough, as long as others of the batch are not
        with torch.no_grad():
            own[done] = before[done]
        taken += ~done
    return own.detach(), taken


@torch.no_grad()
def reconstruct(sampler: Sampler, latents: Tensor, injection: InjectionAt | None = None) -> Tensor:
    """Inverts images and generates them anew under their prompts, with a mask injected.

    Args:
        sampler: with its settings.
        latents: (B, c, h, w) clean latents.
        injection: of each timestep; none gives the images back, as well as the method can.

    Returns:
        (B, c, h, w) clean latents.
    """
    trajectory = invert(sampler, latents)
    empties, _ = optimise_empty_prompts(sampler, trajectory)
    noisy = trajectory[-1]
    for place in reversed(range(sampler.settings.steps)):
        timestep = sampler.timesteps[place]
        placed = None if injection is None else injection(timestep)
        noisy = sampler.step(noisy, sampler.guided(noisy, timestep, empties[place], placed), place)
    return noisy
