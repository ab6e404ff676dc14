"""Prompts as a denoiser reads them.

Shapes: P prompts, R names in a prompt, T text tokens, E text width.
"""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts as a denoiser reads them.

    Attributes:
        embeds: (P, T, E) float.
        token_masks: (P, R, T) float in {0, 1}, where each name stands.
        pooled: (P, E') float, one vector a prompt, in families that read one.
        lengths: (P,) int64 on the CPU, tokens of each prompt; those behind are padding that no
            denoiser sees. None: all T.
    """

    embeds: Tensor
    token_masks: Tensor
    pooled: Tensor | None = None
    lengths: Tensor | None = None

    def __getitem__(self, index: Any) -> 'EncodedPrompts':
        return EncodedPrompts(
            self.embeds[index],
            self.token_masks[index],
            None if self.pooled is None else self.pooled[index],
            None if self.lengths is None else self.lengths[index],
        )

    def with_embeds(self, embeds: Tensor) -> 'EncodedPrompts':
        """The same prompts under other embeddings, (P, T, E)."""
        return replace(self, embeds=embeds)
