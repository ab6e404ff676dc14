"""Prompts for class names, and where in the tokenised prompt each name stands (G4Seg's alpha(T_c)).

Shapes: P prompts, R regions (names) in a prompt, T tokens of a padded prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmseg_g4seg.prediction import ClassName, synonyms


@dataclass(frozen=True)
class TokenisedPrompts:
    """Prompts ready for a text encoder.

    Attributes:
        input_ids: (P, T) int64.
        token_masks: (P, R, T) float32, 1 on the tokens of each name; rows beyond a prompt's own
            names are 0.
    """

    input_ids: Tensor
    token_masks: Tensor


class PromptTokenizer:
    """Writes and tokenises prompts, and finds the tokens of the names in them."""

    special_tokens: ClassVar[int] = 2
    """Places of a prompt that begin and end of text take."""

    def __init__(self, tokenizer: Any, *, template: str = 'a photo of {name}') -> None:
        """Args:
            tokenizer: a transformers tokenizer (CLIP's, or any with the same calls).
            template: the prompt, with `{name}` where the names go.

        Raises:
            ValueError: if the template has no `{name}`.
        """
        if template.count('{name}') != 1:
            raise ValueError(f"template: expected one '{{name}}' in it, got {template!r}")
        self.tokenizer = tokenizer
        self.prefix, self.suffix = template.split('{name}')

    def __call__(self, prompts: Sequence[Sequence[ClassName]]) -> TokenisedPrompts:
        """Tokenises prompts, each naming one class or several.

        Args:
            prompts: for each of P prompts the classes that it names, in the order of its regions.

        Returns:
            The prompts padded to the tokenizer's length T.

        Raises:
            ValueError: if a name is empty, or does not fit into the text encoder's length.
        """
        texts, spans = zip(*(self.write(classes) for classes in prompts), strict=True)
        padded = self.tokenizer(
            list(texts), padding='max_length', truncation=True, max_length=self.length, return_tensors='pt'
        )
        token_masks = torch.zeros(len(prompts), max(map(len, spans)), self.length)
        for prompt, prompt_spans in enumerate(spans):
            for region, tokens in enumerate(prompt_spans):
                token_masks[prompt, region, tokens] = 1.0
        return TokenisedPrompts(padded.input_ids, token_masks)

    def split(self, classes: Sequence[ClassName]) -> list[list[ClassName]]:
        """Shares classes out over as few prompts as hold them, in order; one that fits none is alone."""
        prompts: list[list[ClassName]] = [[]]
        for name in classes:
            if not prompts[-1] or self._fits([*prompts[-1], name]):
                prompts[-1].append(name)
            else:
                prompts.append([name])
        return prompts

    def _fits(self, classes: Sequence[ClassName]) -> bool:
        names = ', '.join(name for c in classes for name in synonyms(c))
        return len(self._ids(self.prefix + names)) + self.special_tokens <= self.length

    @property
    def length(self) -> int:
        """T, the length that prompts are padded to."""
        return int(self.tokenizer.model_max_length)

    def write(self, classes: Sequence[ClassName]) -> tuple[str, list[list[int]]]:
        """Writes one prompt, and lists the token positions of each class's names."""
        text, spans = self.prefix, []
        for names in map(synonyms, classes):
            positions: list[int] = []
            for name in names:
                separator = ', ' if text != self.prefix else ''
                text += separator
                positions += self._locate(text, name)
                text += name
            spans.append(positions)
        return text + self.suffix, spans

    def _locate(self, before: str, name: str) -> list[int]:
        """Positions of a name's tokens in a prompt that starts with `before + name`.

        Counted from the text before, so a name that also stands in the template is found where
        the template puts it, and end-of-text or padding ids never enter.
        """
        start = len(self._ids(before))
        end = len(self._ids(before + name))
        # one begin-of-text token stands before all of them; the last place is the end-of-text's
        if end + 1 > self.length - 1:
            raise ValueError(
                f'class name {name!r} ends at token {end} of its prompt; the text encoder reads '
                f'{self.length - 2}: expected a shorter name, or fewer synonyms'
            )
        if end == start:
            raise ValueError(f'class name {name!r} has no token in this tokenizer')
        return list(range(start + 1, end + 1))

    def _ids(self, text: str) -> list[int]:
        # transformers warns of every text that is too long, and `split` asks about such
        return self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
