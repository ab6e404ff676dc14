"""What the families' text encoders share: T5 prompts, pairs of CLIP encoders, prompts of several parts.

Shapes: P prompts, R names in a prompt, T text tokens, E text width; "parts" are the pieces of a
prompt that names more classes than a text encoder reads at once.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.prediction import ClassName, synonyms

from .encoded import EncodedPrompts
from .prompts import PromptTokenizer


class T5PromptTokenizer(PromptTokenizer):
    """Prompts for T5, whose tokens carry the space before a word and have no begin-of-text."""

    special_tokens: ClassVar[int] = 1

    def __init__(self, tokenizer: Any, *, template: str, length: int) -> None:
        """Args:
            tokenizer: a fast transformers tokenizer; names are found by character offsets.
            template: the prompt, with `{name}` where the names go.
            length: tokens that prompts are padded to.

        Raises:
            ValueError: if the template has no `{name}`.
        """
        super().__init__(tokenizer, template=template)
        self._length = length

    @property
    def length(self) -> int:
        return self._length

    def text(self, classes: Sequence[ClassName]) -> str:
        """Writes the prompt that names some classes."""
        return self.write(classes)[0]

    def write(self, classes: Sequence[ClassName]) -> tuple[str, list[list[int]]]:
        text, characters = self.prefix, []
        for names in map(synonyms, classes):
            own = []
            for name in names:
                text += ', ' if text != self.prefix else ''
                own.append((len(text), len(text) + len(name)))
                text += name
            characters.append(own)
        text += self.suffix
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        spans = [[i for start, end in own for i in self._inside(text, offsets, start, end)] for own in characters]
        return text, spans

    def _inside(self, text: str, offsets: Sequence[tuple[int, int]], start: int, end: int) -> list[int]:
        """Positions of the tokens that hold characters `start` to `end` of a prompt."""
        positions = [i for i, (first, last) in enumerate(offsets) if first < end and last > start]
        if not positions:
            raise ValueError(f'class name {text[start:end]!r} has no token in this tokenizer')
        if positions[-1] >= self.length - 1:  # the last place is the end-of-text's
            raise ValueError(
                f'class name {text[start:end]!r} ends at token {positions[-1] + 1} of its prompt; the text encoder '
                f'reads {self.length - 1}: expected a shorter name, or fewer synonyms'
            )
        return positions


def encode_clip_pair(
    encoders: Sequence[Any], tokenizers: Sequence[Any], parts: Sequence[Sequence[ClassName]], template: str
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Encodes prompts with two CLIP text encoders, as SDXL and SD 3 read them.

    Args:
        encoders: two transformers CLIP text models.
        tokenizers: of each.
        parts: P prompts, each the classes that it names; none longer than an encoder reads.
        template: the prompt, with `{name}` where the names go.

    Returns:
        (P, T, E1 + E2) hidden states before each encoder's last layer; each encoder's first output,
        which is (P, E') for one with a projection; and (P, R, T) token masks.

    Raises:
        ValueError: if the tokenizers place the names differently.
    """
    tokenised = [PromptTokenizer(tokenizer, template=template)(parts) for tokenizer in tokenizers]
    first, second = (prompts.token_masks for prompts in tokenised)
    if not torch.equal(first, second):
        raise ValueError(f'expected two tokenizers that place names alike, got different places for {list(parts)}')
    outputs = [
        encoder(prompts.input_ids.to(encoder.device), output_hidden_states=True)
        for encoder, prompts in zip(encoders, tokenised, strict=True)
    ]
    # the last layer but one, without the final normalisation: what SDXL and SD 3 were trained to read
    return torch.cat([o.hidden_states[-2] for o in outputs], dim=-1), [o[0] for o in outputs], first


def join_parts(
    embeds: Tensor, token_masks: Tensor, parts: Sequence[Sequence[ClassName]], pooled: Tensor | None = None
) -> EncodedPrompts:
    """Makes one prompt of its parts: their tokens one after the other, their pooled vectors averaged.

    Args:
        embeds: (parts, T, E) float.
        token_masks: (parts, R, T) float; part p has len(parts[p]) names of its own.
        parts: the classes that each part names.
        pooled: (parts, E') float.

    Returns:
        One prompt of parts * T tokens; its names are those of all parts, in order. On the device and
        in the dtype of `embeds`.
    """
    own = [masks[: len(part)] for masks, part in zip(token_masks, parts, strict=True)]
    return EncodedPrompts(
        embeds.flatten(0, 1)[None],
        torch.block_diag(*own)[None].to(embeds),  # (1, R, parts * T)
        None if pooled is None else pooled.mean(dim=0, keepdim=True),
    )


def stack_repeated(prompts: Sequence[EncodedPrompts]) -> EncodedPrompts:
    """Stacks prompts of different lengths for cross-attention, by repeating their tokens.

    Attention over tokens that all stand there n times is attention over them once: no padding to
    mask out.
    """
    length = math.lcm(*(p.embeds.shape[1] for p in prompts))
    counts = [length // p.embeds.shape[1] for p in prompts]
    embeds = [p.embeds.repeat(1, n, 1) for p, n in zip(prompts, counts, strict=True)]
    masks = [p.token_masks.repeat(1, 1, n) for p, n in zip(prompts, counts, strict=True)]
    return EncodedPrompts(torch.cat(embeds), _stack_regions(masks), _stack_pooled(prompts))


def stack_padded(prompts: Sequence[EncodedPrompts]) -> EncodedPrompts:
    """Stacks prompts of different lengths, padded with zeros; `lengths` says how many tokens count.

    In joint attention, image and text share one softmax, so repeated tokens would weigh more: each
    length goes through the denoiser alone.
    """
    lengths = [p.embeds.shape[1] for p in prompts]
    missing = [max(lengths) - length for length in lengths]
    embeds = [F.pad(p.embeds, (0, 0, 0, n)) for p, n in zip(prompts, missing, strict=True)]
    masks = [F.pad(p.token_masks, (0, n)) for p, n in zip(prompts, missing, strict=True)]
    return EncodedPrompts(
        torch.cat(embeds), _stack_regions(masks), _stack_pooled(prompts), torch.tensor(lengths, dtype=torch.int64)
    )


def _stack_regions(token_masks: Sequence[Tensor]) -> Tensor:
    """(1, R, T) masks with R of their own -> (P, R, T), rows beyond a prompt's names 0."""
    regions = max(masks.shape[1] for masks in token_masks)
    return torch.cat([F.pad(masks, (0, 0, 0, regions - masks.shape[1])) for masks in token_masks])


def _stack_pooled(prompts: Sequence[EncodedPrompts]) -> Tensor | None:
    pooled = [p.pooled for p in prompts if p.pooled is not None]
    return torch.cat(pooled) if pooled else None
