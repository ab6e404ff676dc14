"""Latent consistency models: U-Nets distilled to answer in one step (LCM, arXiv 2310.04378).

They are Stable Diffusion's U-Nets, with two things more: the guidance scale that they were distilled
with is an input, and the prediction is mixed with its own input so that it is exact at timestep 0.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

DATA_DEVIATION = 0.5
"""sigma_data of the boundary condition, as in diffusers' `LCMScheduler`."""


def guidance_embedding(guidance_scale: float, width: int) -> Tensor:
    """Embeds a guidance scale as the U-Net was trained to read it.

    Args:
        guidance_scale: the factor of classifier-free guidance; 1 is none.
        width: `time_cond_proj_dim` of the U-Net.

    Returns:
        (1, width) float32: sines, then cosines, of 1000 * (guidance_scale - 1) at falling frequencies.

    Source:
        `LatentConsistencyModelPipeline.get_guidance_scale_embedding` in diffusers.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(10000.0) / (half - 1)))
    # LCM reads the scale less 1: with the scale itself it would answer 8.5 as if 9.5 had been asked for
    angles = 1000.0 * (guidance_scale - 1) * frequencies
    return F.pad(torch.cat([angles.sin(), angles.cos()]), (0, width - 2 * half))[None]


def boundary_scalings(timestep: int, timestep_scaling: float) -> tuple[float, float]:
    """Weights of the input and of the predicted clean latents in a consistency model's answer.

    Args:
        timestep: a training timestep.
        timestep_scaling: of the scheduler's config.

    Returns:
        c_skip and c_out: 1 and 0 at timestep 0, almost 0 and 1 where noise is worth the name.

    Source:
        LCM, section 4; `LCMScheduler.get_scalings_for_boundary_condition_discrete`.
    """
    scaled = timestep * timestep_scaling
    norm = scaled**2 + DATA_DEVIATION**2
    return DATA_DEVIATION**2 / norm, scaled / math.sqrt(norm)
