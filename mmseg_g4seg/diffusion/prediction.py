"""Noising and one-step prediction of clean latents (G4Seg, Eq. 2).

Shapes: B images, c latent channels, h w latent grid; all tensors (B, c, h, w) float.
"""

from typing import Literal, get_args

from torch import Tensor

PredictionType = Literal['epsilon', 'v_prediction', 'flow_prediction', 'sample']


def add_noise(
    latents: Tensor,
    noise: Tensor,
    alpha_cumprod: Tensor | float,
    prediction_type: PredictionType = 'epsilon',
) -> Tensor:
    """Noises clean latents: sqrt(a) z0 + sqrt(1 - a) noise; for flow matching a z0 + (1 - a) noise.

    Args:
        latents: (B, c, h, w) clean latents z0.
        noise: (B, c, h, w) standard normal noise.
        alpha_cumprod: the scheduler's cumulative alpha at the timestep, a scalar or (B,), in (0, 1];
            for flow matching 1 - sigma.
        prediction_type: the scheduler's own; it tells flow matching from diffusion.

    Returns:
        (B, c, h, w) noisy latents.

    Source:
        flow matching: Stable Diffusion 3 (arXiv 2403.03206), section 3.
    """
    alpha = _per_image(alpha_cumprod, latents)
    if prediction_type == 'flow_prediction':
        return alpha * latents + (1 - alpha) * noise
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def predict_x0(
    model_output: Tensor, latents: Tensor, alpha_cumprod: Tensor | float, prediction_type: PredictionType
) -> Tensor:
    """Predicts the clean latents from one output of the denoiser.

    Args:
        model_output: (B, c, h, w), in the sense of `prediction_type`.
        latents: (B, c, h, w) noisy latents that the denoiser saw.
        alpha_cumprod: cumulative alpha at the timestep, a scalar or (B,), in (0, 1]; for flow
            matching, where z = (1 - sigma) z0 + sigma noise, 1 - sigma.
        prediction_type: the scheduler's own.

    Returns:
        (B, c, h, w) clean latents.

    Raises:
        ValueError: if the prediction type is not known.
    """
    alpha = _per_image(alpha_cumprod, latents)
    if prediction_type == 'epsilon':
        # at alpha 0 (zero terminal SNR) noise says nothing of the image: such schedulers predict velocities
        return (latents - (1 - alpha).sqrt() * model_output) / alpha.sqrt()
    if prediction_type == 'v_prediction':
        return alpha.sqrt() * latents - (1 - alpha).sqrt() * model_output
    if prediction_type == 'flow_prediction':
        return latents - (1 - alpha) * model_output
    if prediction_type == 'sample':
        return model_output
    raise ValueError(f'prediction_type: expected one of {get_args(PredictionType)}, got {prediction_type!r}')


def predict_noise(
    model_output: Tensor, latents: Tensor, alpha_cumprod: Tensor | float, prediction_type: PredictionType
) -> Tensor:
    """Predicts the noise in the latents from one output of the denoiser.

    Args and errors as `predict_x0`; returns (B, c, h, w): with `predict_x0` the two that `add_noise`
    makes `latents` of.
    """
    alpha = _per_image(alpha_cumprod, latents)
    if prediction_type == 'epsilon':
        return model_output
    if prediction_type == 'v_prediction':
        return alpha.sqrt() * model_output + (1 - alpha).sqrt() * latents
    if prediction_type == 'flow_prediction':
        return latents + alpha * model_output  # a z0 + (1 - a) n + a (n - z0) = n
    if prediction_type == 'sample':
        return (latents - alpha.sqrt() * model_output) / (1 - alpha).sqrt()
    raise ValueError(f'prediction_type: expected one of {get_args(PredictionType)}, got {prediction_type!r}')


def noise_target(
    latents: Tensor, noise: Tensor, alpha_cumprod: Tensor | float, prediction_type: PredictionType
) -> Tensor:
    """What the denoiser should have answered for `add_noise(latents, noise, alpha_cumprod)`.

    Args and errors as `add_noise` and `predict_x0`; returns (B, c, h, w).
    """
    alpha = _per_image(alpha_cumprod, latents)
    if prediction_type == 'epsilon':
        return noise
    if prediction_type == 'v_prediction':
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    if prediction_type == 'flow_prediction':
        return noise - latents
    if prediction_type == 'sample':
        return latents
    raise ValueError(f'prediction_type: expected one of {get_args(PredictionType)}, got {prediction_type!r}')


def _per_image(alpha_cumprod: Tensor | float, latents: Tensor) -> Tensor:
    """Shapes a scalar or (B,) to (1 or B, 1, 1, 1), on the latents' device and in their dtype."""
    if isinstance(alpha_cumprod, Tensor):
        return alpha_cumprod.to(latents, non_blocking=True).reshape(-1, 1, 1, 1)
    # filled on the device: a number that is copied there makes the host wait for all that it has queued
    return latents.new_full((1, 1, 1, 1), alpha_cumprod)
