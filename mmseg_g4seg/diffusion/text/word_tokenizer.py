"""A small tokenizer in CLIP's format whose merges are learned from class names.

For priors that are trained on few classes: each word of a name becomes one token, where CLIP's own 49,408 entries
would be most of a small text encoder's weights.
"""

import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

START, END = '<|startoftext|>', '<|endoftext|>'


def build_tokenizer(classes: Sequence[str], text_length: int = 48, *, vocab_size: int = 640) -> Any:
    """Learns a byte-level BPE in CLIP's format; any other text still tokenises, byte by byte.

    Args:
        classes: names that the merges are learned from, each in the prompt `a photo of {name}`.
        text_length: tokens that prompts are padded to.
        vocab_size: entries at the most.

    Returns:
        A transformers `CLIPTokenizer`; its `…Fast` class before transformers 5.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix='</w>'))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[START, END, *(symbol + '</w>' for symbol in sorted(alphabet))],
        initial_alphabet=alphabet,
        end_of_word_suffix='</w>',
        show_progress=False,
    )
    bpe.train_from_iterator([f'a photo of {name}, ' for name in classes] * 4, trainer)
    return _clip_tokenizer(*_entries(bpe), text_length)


def write_vocabulary(tokenizer: Any, folder: Path) -> None:
    """Writes `vocab.json` and `merges.txt`, from which `CLIPTokenizer` loads before transformers 5.

    Transformers 5 saves `tokenizer.json` alone, which the class of that name in 4.x does not read: a prior that was
    trained today would not load there.

    Args:
        tokenizer: that `build_tokenizer` built.
        folder: that the tokenizer was saved in.
    """
    _write_entries(*_entries(tokenizer.backend_tokenizer), folder)


def _clip_tokenizer(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], text_length: int) -> Any:
    """Of entries in memory, as transformers 5 takes them; of files, as 4.x does."""
    # by name: the classes differ between versions, and a type checker knows one of them
    transformers: Any = importlib.import_module('transformers')
    if 'vocab' in inspect.signature(transformers.CLIPTokenizer).parameters:
        return transformers.CLIPTokenizer(vocab=dict(vocabulary), merges=list(merges), model_max_length=text_length)
    with TemporaryDirectory() as folder:
        files = _write_entries(vocabulary, merges, Path(folder))
        return transformers.CLIPTokenizerFast(*map(str, files), model_max_length=text_length)


def _entries(bpe: Any) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a `tokenizers.Tokenizer`."""
    content = json.loads(bpe.to_str())['model']
    # a merge is a pair in today's tokenizers, a text with a blank in it before 0.20
    pairs = [m.split(' ') if isinstance(m, str) else m for m in content['merges']]
    return content['vocab'], [(first, second) for first, second in pairs]


def _write_entries(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], folder: Path) -> tuple[Path, Path]:
    """Writes both files of CLIP's format; the first line of the merges is a header, which readers skip."""
    files = folder / 'vocab.json', folder / 'merges.txt'
    files[0].write_text(json.dumps(dict(vocabulary), ensure_ascii=False) + '\n', encoding='utf-8')
    lines = ['#version: 0.2', *(' '.join(pair) for pair in merges)]
    files[1].write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return files
