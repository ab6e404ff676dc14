"""Tokenizers of CLIP's and T5's kind with a local vocabulary: which ids they give does not change the cost.

Only lengths count, and those are the real ones. All ids lie within the real embedding tables.
"""

import importlib
import string
from collections.abc import Sequence
from typing import Any

from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer

CLIP_LENGTH = 77
T5_LENGTH = 512


def clip_tokenizer(class_names: Sequence[str]) -> Any:
    """A `CLIPTokenizer` whose merges come from class names, padding to CLIP's 77 tokens."""
    tokenizer = build_tokenizer(class_names)
    tokenizer.model_max_length = CLIP_LENGTH
    return tokenizer


def t5_tokenizer(class_names: Sequence[str]) -> Any:
    """A `T5TokenizerFast` that knows the words of class names, and letters and digits; 512 tokens."""
    words = {word for name in class_names for word in name.split()} | {'a', 'an', 'photo', 'of'}
    vocabulary = [('<pad>', 0.0), ('</s>', 0.0), ('<unk>', 0.0)]
    vocabulary += [(f'▁{word}', -3.0) for word in sorted(words)]
    vocabulary += [(letter, -8.0) for letter in '▁,' + string.ascii_letters + string.digits]
    # transformers offers the class by a name that type checkers do not see
    tokenizer_class: Any = importlib.import_module('transformers').T5TokenizerFast
    return tokenizer_class(vocab=vocabulary, extra_ids=0, model_max_length=T5_LENGTH)
