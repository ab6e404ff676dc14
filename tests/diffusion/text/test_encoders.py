"""Where names stand in T5's tokens, and prompts of several parts."""

import pytest
import torch
from transformers import CLIPTextModelWithProjection

from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.diffusion.text.encoders import (
    T5PromptTokenizer,
    encode_clip_pair,
    join_parts,
    stack_padded,
    stack_repeated,
)
from tests.diffusion.pipelines import clip_encoder, clip_tokenizer, t5_tokenizer

TEMPLATE = 'a photo of {name}'


def named_tokens(prompts, classes):
    """The text of the tokens that each name is found at."""
    tokenised = prompts([classes])
    ids = tokenised.input_ids[0]
    decode = prompts.tokenizer.convert_ids_to_tokens
    return [decode(ids[masks.bool()].tolist()) for masks in tokenised.token_masks[0]]


class TestT5PromptTokenizer:
    @pytest.fixture
    def prompts(self):
        return T5PromptTokenizer(t5_tokenizer(), template=TEMPLATE, length=24)

    def test_finds_names_of_several_words(self, prompts):
        assert named_tokens(prompts, ['sky', 'hot air balloon']) == [['▁sky'], ['▁hot', '▁air', '▁balloon']]

    def test_finds_names_of_unknown_words_letter_by_letter(self, prompts):
        assert named_tokens(prompts, ['sky', 'Ox', 'fish']) == [['▁sky'], ['▁', 'O', 'x'], ['▁fish']]

    def test_name_that_also_stands_in_the_template(self):
        prompts = T5PromptTokenizer(t5_tokenizer(), template='a fish of {name} grass', length=24)
        masks = prompts([['fish']]).token_masks[0, 0]
        assert masks.nonzero().flatten().tolist() == [3]

    def test_synonyms_name_one_region(self, prompts):
        assert named_tokens(prompts, [('sky', 'air'), 'fish']) == [['▁sky', '▁air'], ['▁fish']]

    def test_padded_with_one_end_of_text(self, prompts):
        tokenised = prompts([['sky'], ['hot air balloon']])
        assert tokenised.input_ids.shape == (2, 24)
        assert (tokenised.input_ids == prompts.tokenizer.eos_token_id).sum(1).tolist() == [1, 1]
        assert tokenised.token_masks.shape == (2, 1, 24)

    def test_splits_only_what_does_not_fit(self, prompts):
        names = ['hot air balloon'] * 8
        parts = prompts.split(names)
        assert [name for part in parts for name in part] == names
        assert len(parts) == 2
        assert prompts(parts).token_masks.sum(-1).max() == 3

    def test_name_that_does_not_fit(self, prompts):
        with pytest.raises(ValueError, match=r"class name 'fish .* the text encoder reads 23"):
            prompts([['fish ' * 30]])

    def test_text(self, prompts):
        assert prompts.text(['sky', ('fish', 'grass')]) == 'a photo of sky, fish, grass'


def encoded(length, regions=2, seed=0, pooled=True):
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(1, regions, length, generator=generator) > 0.5).float()
    return EncodedPrompts(
        torch.randn(1, length, 3, generator=generator),
        masks,
        torch.randn(1, 4, generator=generator) if pooled else None,
    )


class TestStacking:
    def test_repeated(self):
        stacked = stack_repeated([encoded(4, 3, pooled=False), encoded(6, 1, pooled=False)])
        assert stacked.embeds.shape == (2, 12, 3)
        assert stacked.token_masks.shape == (2, 3, 12)
        assert torch.equal(stacked.embeds[0, 4:8], stacked.embeds[0, :4])
        assert stacked.pooled is None
        assert stacked.lengths is None

    def test_padded(self):
        short, long = encoded(4, 3), encoded(6, 1, seed=1)
        stacked = stack_padded([short, long])
        assert stacked.lengths.tolist() == [4, 6]
        assert torch.equal(stacked.embeds[:1, :4], short.embeds)
        assert not stacked.embeds[0, 4:].any()
        assert not stacked.token_masks[0, :, 4:].any()
        assert not stacked.token_masks[1, 1:].any()
        assert torch.equal(stacked.pooled, torch.cat([short.pooled, long.pooled]))

    def test_picking_prompts(self):
        stacked = stack_padded([encoded(4), encoded(6, seed=1)])
        picked = stacked[[1, 0, 1]]
        assert picked.lengths.tolist() == [6, 4, 6]
        assert torch.equal(picked.pooled[1], stacked.pooled[0])
        assert stacked[:1].embeds.shape == (1, 6, 3)

    def test_joined_parts(self):
        masks = torch.tensor([[[0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 0]]]).float()
        embeds, pooled = torch.randn(2, 3, 4), torch.tensor([[1.0, 2], [3, 6]])
        joined = join_parts(embeds, masks, [['sky', 'fish'], ['grass']], pooled)
        assert torch.equal(joined.embeds[0], embeds.flatten(0, 1))
        assert joined.token_masks[0].argmax(1).tolist() == [1, 2, 3]
        assert joined.token_masks.sum() == 3
        assert joined.pooled.tolist() == [[2, 4]]


def test_clip_pair_that_places_names_differently():
    tokenizers = clip_tokenizer(48), clip_tokenizer(40)
    encoders = [clip_encoder(t, CLIPTextModelWithProjection) for t in tokenizers]
    with pytest.raises(ValueError, match='two tokenizers that place names alike'):
        encode_clip_pair(encoders, tokenizers, [['sky']], TEMPLATE)
