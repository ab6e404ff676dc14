import json
from itertools import pairwise

import pytest

from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer, write_vocabulary

NAMES = ['sky', 'hot air balloon']
PROMPT = 'a photo of hot air balloon, sky'


@pytest.fixture(scope='module')
def tokenizer():
    return build_tokenizer(NAMES, 16)


def test_a_word_of_a_name_is_one_token(tokenizer):
    words = ['a', 'photo', 'of', 'hot', 'air', 'balloon', ',', 'sky']
    assert tokenizer.tokenize(PROMPT) == [f'{word}</w>' for word in words]


def test_length_and_ends_are_clips(tokenizer):
    ids = tokenizer('sky', padding='max_length').input_ids
    assert len(ids) == 16
    assert tokenizer.convert_ids_to_tokens(ids[:4]) == ['<|startoftext|>', 'sky</w>', '<|endoftext|>', '<|endoftext|>']


@pytest.mark.parametrize('text', ['zebra', 'Überholspur', '42 牛'])
def test_any_other_text_is_spelt(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert len(ids) > len(text.split())
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids).strip().replace(' ', '') == text.lower().replace(' ', '')


def test_upper_case_is_lower_case(tokenizer):
    assert tokenizer('SKY').input_ids == tokenizer('sky').input_ids


def test_vocabulary_is_as_large_as_asked():
    letters = 2 * 256 + 2  # every byte, alone and at the end of a word, and the ends of the text
    assert len(build_tokenizer(['antidisestablishmentarianism'], vocab_size=letters + 3)) == letters + 3


def test_files_of_transformers_4_hold_the_same_entries(tokenizer, tmp_path):
    """Read as `CLIPTokenizer` of transformers 4 reads them: the merges, in order, give back every word."""
    write_vocabulary(tokenizer, tmp_path)
    vocabulary = json.loads((tmp_path / 'vocab.json').read_text(encoding='utf-8'))
    assert vocabulary == tokenizer.get_vocab()
    header, *lines = (tmp_path / 'merges.txt').read_text(encoding='utf-8').splitlines()
    assert header.startswith('#')
    ranks = {tuple(line.split(' ')): rank for rank, line in enumerate(lines)}
    symbols = [*'balloo', 'n</w>']
    while pairs := [pair for pair in pairwise(symbols) if pair in ranks]:
        first, second = min(pairs, key=ranks.__getitem__)
        at = next(i for i in range(len(symbols)) if symbols[i : i + 2] == [first, second])
        symbols[at : at + 2] = [first + second]
    assert [vocabulary[symbol] for symbol in symbols] == tokenizer('balloon', add_special_tokens=False).input_ids
