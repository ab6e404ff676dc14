"""Words as a text encoder sees them, each averaged over prompts, encoded once and kept.

Shapes: N prompts of a word, V words, E embedding channels.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

PROMPTS_AT_ONCE = 256

TextEncoder = Callable[[list[str]], Tensor]
"""Texts in, (N, E) float out."""


class WordEncoder:
    """Gives each word one direction: the mean over its prompts.

    A vocabulary of 150 words and 80 prompts is 12,000 texts, minutes on a CPU: what was encoded is kept, word by word.
    """

    def __init__(self, encode: TextEncoder, templates: Sequence[str] | None = None) -> None:
        """Args:
            encode: the text encoder.
            templates: prompts, `{name}` standing for the word; the 80 of OpenAI's ImageNet experiments, which open_clip
                has, when not given.

        Raises:
            ValueError: if there is no template, or one has no place for the name.
        """
        if templates is not None:
            wrong = [template for template in templates if template.count('{name}') != 1]
            if isinstance(templates, str) or not templates or wrong:
                raise ValueError(f"templates: expected prompts with one '{{name}}' in each, got {templates!r}")
        self.encode, self.templates = encode, templates
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, words: Sequence[str]) -> Tensor:
        """Encodes words: V texts -> (V, E) float32 of length 1, on the CPU."""
        for word in words:
            # word by word: in one batch, rounding would hang on the words beside, and labels on what was asked before
            if word not in self._known:
                prompts = self._prompts(word)
                parts = [prompts[i : i + PROMPTS_AT_ONCE] for i in range(0, len(prompts), PROMPTS_AT_ONCE)]
                # on the CPU: the encoder may move between two words
                self._known[word] = mean_direction(torch.cat([self.encode(part).float() for part in parts])).cpu()
        return torch.stack([self._known[word] for word in words])

    def _prompts(self, word: str) -> list[str]:
        if self.templates is not None:
            return [template.replace('{name}', word) for template in self.templates]
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [template(word) for template in OPENAI_IMAGENET_TEMPLATES]


def mean_direction(features: Tensor) -> Tensor:
    """The mean of directions, a direction itself: (..., N, E) float -> (..., E) of length 1."""
    # lengths first: a long vector would outvote the others
    return F.normalize(F.normalize(features, dim=-1).mean(dim=-2), dim=-1)
