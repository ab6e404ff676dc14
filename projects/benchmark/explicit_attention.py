"""Injection as the paper writes it: Q x K bias masks, built and added to the logits before a plain softmax.

Shapes: B images, Q query tokens, Kt key tokens, R regions, d head dimension. As DenseDiffusion's code
does, a mask is built once for all layers of one size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.families.joint_transformer import JointTransformerPrior
from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.injection.attention import (
    MaskInjection,
    MaskInjectionProcessor,
    TokenGrids,
    replaced_processors,
)
from mmseg_g4seg.diffusion.injection.joint_attention import JointLayout


def explicit_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(QK^T/sqrt(d) + bias) V: (B, heads, N, d) three times and (B, Q, Kt) -> (B, heads, Q, d)."""
    similarity = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return (similarity + bias[:, None]).softmax(-1) @ value


class ExplicitGrids(TokenGrids):
    """A U-Net's layout as (B, Q, Kt) masks."""

    def __init__(self, injection: MaskInjection) -> None:
        super().__init__(injection)
        self._biases: dict[tuple[int, bool], Tensor] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, is_cross: bool) -> Tensor:
        place = (query.shape[2], is_cross)
        if place not in self._biases:
            queries = self.regions(query.shape[0], query.shape[2])  # (B, Q, R)
            keys = self.injection.token_masks.transpose(1, 2) if is_cross else queries
            weight = self.injection.cross_weight if is_cross else self.injection.self_weight
            self._biases[place] = weight * queries @ keys.transpose(1, 2)
        return explicit_attention(query, key, value, self._biases[place])


class ExplicitJointLayout(JointLayout):
    """A joint sequence's layout as (B, S, S) masks."""

    def __init__(self, injection: MaskInjection, **options: Any) -> None:
        super().__init__(injection, **options)
        self._biases: dict[bool, Tensor] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, has_text: bool) -> Tensor:
        if has_text not in self._biases:
            queries, keys = (self.queries, self.keys) if has_text else (self.image, self.image_keys)
            self._biases[has_text] = queries @ keys.transpose(1, 2)
        return explicit_attention(query, key, value, self._biases[has_text])


@contextmanager
def explicit_masks(prior: LatentPrior, injection: MaskInjection) -> Iterator[None]:
    """Injects a layout into every pass of the block, with explicit masks.

    Args:
        prior: whose denoiser runs in the block, without an injection of its own.
        injection: the layout, of rule `g4seg`, with one entry an image of the passes.
    """
    layouts = injection.to(torch.empty(0, device=prior.device, dtype=prior.dtype))
    if isinstance(prior, JointTransformerPrior):
        processor = prior.processor
        joint = ExplicitJointLayout(layouts, patch_size=prior.patch_size, text_first=prior.text_first)
        with replaced_processors(prior.denoiser, lambda original: processor(original, joint)):
            yield
        return
    grids = ExplicitGrids(layouts)
    with replaced_processors(prior.denoiser, lambda original: MaskInjectionProcessor(original, grids)):
        yield
