from itertools import pairwise

import pytest

from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer
from mmseg_g4seg.prediction import synonyms

TOKENIZER = build_tokenizer(['sky', 'hot air balloon', 'photo'])


def named_tokens(prompt_tokenizer, classes):
    """The text of the tokens that each name is said to have."""
    tokenised = prompt_tokenizer([classes])
    texts = TOKENIZER.convert_ids_to_tokens(tokenised.input_ids[0])
    return [''.join(t for t, m in zip(texts, row, strict=True) if m) for row in tokenised.token_masks[0].tolist()]


@pytest.mark.parametrize('name', ['sky', 'hot air balloon', 'zebra', 'traffic sign'])
def test_finds_the_tokens_of_a_name(name):
    found = named_tokens(PromptTokenizer(TOKENIZER), [name])
    assert found == [''.join(f'{word}</w>' for word in name.split())]


def test_name_of_five_tokens():
    ids = TOKENIZER('qwxjv', add_special_tokens=False).input_ids
    assert len(ids) == 5
    tokenised = PromptTokenizer(TOKENIZER)([['qwxjv']])
    assert tokenised.token_masks[0, 0].nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


def test_name_that_also_stands_in_the_template():
    tokenised = PromptTokenizer(TOKENIZER, template='a photo of {name} in a photo')([['photo']])
    assert tokenised.token_masks[0, 0].nonzero().flatten().tolist() == [4]


def test_several_names_and_synonyms():
    found = named_tokens(PromptTokenizer(TOKENIZER), ['sky', ('hot air balloon', 'balloon')])
    assert found == ['sky</w>', 'hot</w>air</w>balloon</w>balloon</w>']


def test_prompts_with_fewer_names_are_padded():
    tokenised = PromptTokenizer(TOKENIZER)([['sky', 'photo'], ['sky']])
    assert tokenised.token_masks.shape == (2, 2, TOKENIZER.model_max_length)
    assert tokenised.token_masks[1, 1].sum() == 0


@pytest.mark.parametrize('name', ['', '  ', [], ['sky', '']])
def test_empty_name_is_an_error(name):
    with pytest.raises(ValueError, match='non-empty'):
        synonyms(name)


def test_names_are_shared_out_over_prompts_that_fit():
    tokenizer = PromptTokenizer(TOKENIZER)
    classes = [('hot air balloon', f'sky {"sky " * i}') for i in range(9)] * 3
    prompts = tokenizer.split(classes)
    assert [c for prompt in prompts for c in prompt] == classes
    assert len(prompts) > 2
    tokenizer(prompts)
    for prompt, following in pairwise(prompts):
        with pytest.raises(ValueError, match='ends at token'):
            tokenizer([[*prompt, following[0]]])
    assert tokenizer.split(['sky', 'photo']) == [['sky', 'photo']]
    assert tokenizer.split([]) == [[]]


def test_name_beyond_the_text_length_is_an_error():
    with pytest.raises(ValueError, match='ends at token'):
        PromptTokenizer(TOKENIZER)([['sky ' * 60]])


def test_template_without_place_for_the_name():
    with pytest.raises(ValueError, match='template'):
        PromptTokenizer(TOKENIZER, template='a photo')


def test_pad_token_of_another_kind_does_not_shift_positions():
    """SD 2.1 pads with '!': positions are counted from the text, not from the padding."""
    other = build_tokenizer(['sky'])
    other.pad_token = '!'
    assert other.pad_token_id != other.eos_token_id
    tokenised = PromptTokenizer(other)([['sky']])
    assert tokenised.input_ids[0, -1] == other.pad_token_id
    assert tokenised.token_masks[0, 0].nonzero().flatten().tolist() == [4]
