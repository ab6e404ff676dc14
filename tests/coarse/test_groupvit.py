"""GroupViT's masks; K classes, G groups, H W image size, h w a window's."""

import pytest
import torch
from transformers import BatchEncoding, GroupViTConfig, GroupViTModel

import mmseg_g4seg.coarse.groupvit as groupvit
from mmseg_g4seg.coarse import GroupViTSegmentor, build_source
from mmseg_g4seg.coarse.groupvit import group_affinity
from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer, write_vocabulary
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.prediction import ClassList
from tests.oracle_files import load_oracle

CLASSES = ['background', 'sky', ('tree', 'bush'), 'ball']


def tokenizer(texts, **_):
    """Letters as ids, the end the highest."""
    ids = [[ord(c) % 40 + 2 for c in text[-14:]] + [49] for text in texts]
    longest = max(map(len, ids))
    return BatchEncoding({'input_ids': torch.tensor([i + [1] * (longest - len(i)) for i in ids])})


def small_config() -> GroupViTConfig:
    vision = dict(
        hidden_size=32, intermediate_size=64, depths=[1, 1, 1], num_group_tokens=[8, 4, 0], num_output_groups=[8, 4, 0],
        num_attention_heads=2, image_size=32, patch_size=8,
    )  # fmt: skip
    text = dict(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, eos_token_id=49,
    )  # fmt: skip
    return GroupViTConfig(vision_config=vision, text_config=text, projection_dim=32, projection_intermediate_dim=48)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return GroupViTModel(small_config())


def build(model, **options):
    return GroupViTSegmentor(model, tokenizer=tokenizer, **{'image_scale': (96, 32), 'window': (32, 16), **options})


class TestOracle:
    @pytest.fixture(scope='class')
    def oracle(self):
        arrays, config = load_oracle('groupvit')
        model = GroupViTModel(GroupViTConfig(**config))
        missing = model.load_state_dict(
            {k.removeprefix('weight_'): v for k, v in arrays.items() if k.startswith('weight_')}, strict=False
        )
        assert all(name.startswith('text_') for name in missing.missing_keys)
        assert missing.unexpected_keys == []
        return arrays, GroupViTSegmentor(model, tokenizer=tokenizer, image_scale=(96, 64), window='whole')

    @pytest.mark.parametrize('size', ['square', 'wide'])
    @pytest.mark.parametrize(('name', 'threshold'), [('plain', None), ('background95', 0.95), ('background35', 0.35)])
    @torch.no_grad()
    def test_scores_and_labels(self, oracle, monkeypatch, size, name, threshold):
        arrays, source = oracle
        monkeypatch.setattr(groupvit, 'imagenet_pixels', lambda images: images)  # the oracle's are normalised
        found = source.window_scores(arrays[f'in_image_{size}'][0], arrays['in_text_embedding'], threshold)
        # the authors' background comes first
        found = found if threshold is None else torch.cat([found[-1:], found[:-1]])
        torch.testing.assert_close(found[:, ::2, ::2], arrays[f'out_logits_{name}_{size}'], atol=1e-7, rtol=0)
        assert torch.equal(found.argmax(dim=0), arrays[f'out_labels_{name}_{size}'].long())


def test_affinity_by_hand():
    """Two groups, three words: the softmax over the likely, times that over all."""
    groups, words = torch.eye(3)[:2], torch.eye(3)
    found = group_affinity(groups, torch.tensor([1.0, 0, 0]), words, 2.0)
    e = torch.tensor([[2.0, 0, 0], [0, 2.0, 0]]).exp()
    everywhere = e / e.sum(dim=1, keepdim=True)
    torch.testing.assert_close(found, everywhere * everywhere)


def test_only_the_five_likely_classes():
    words = torch.eye(7)
    found = group_affinity(torch.ones(1, 7) / 7**0.5, torch.arange(7.0), words, 1.0)
    assert (found > 0).tolist() == [[False, False, True, True, True, True, True]]


@pytest.mark.parametrize('size', [(1, 1), (7, 2000), (40, 56)])
def test_any_size(model, size):
    found = build(model).predict(torch.rand(3, *size), CLASSES)
    assert found.probs.shape == (4, *size)
    torch.testing.assert_close(found.probs.sum(dim=0), torch.ones(size))
    assert torch.equal(found.label_map, found.probs.argmax(dim=0))


def test_pamr_is_of_scores_and_of_the_backgrounds_among_them(model, monkeypatch):
    image, maps = torch.rand(3, 40, 56), torch.rand(4, 40, 56)  # the background's map is the last
    monkeypatch.setattr(groupvit, 'slide', lambda *_: maps)
    found = build(model, pamr_iterations=2).predict(image, CLASSES).probs
    expected = pixel_adaptive_average(image, maps, (8, 16), 2).roll(1, dims=0)
    torch.testing.assert_close(found, expected / expected.sum(dim=0))
    plain = build(model).predict(image, CLASSES).probs
    torch.testing.assert_close(plain, maps.roll(1, dims=0) / maps.sum(dim=0))


def test_labels_do_not_hang_on_the_batch(model):
    source, images = build(model), [torch.rand(3, 40, 56) for _ in range(3)]
    together = source.predict_batch(images, CLASSES)
    backwards = build(model).predict_batch(images[::-1], CLASSES)[::-1]
    for image, one, other in zip(images, together, backwards, strict=True):
        assert torch.equal(one.label_map, other.label_map)
        assert torch.equal(one.probs, source.predict(image, CLASSES).probs)


def test_background_alone_and_none(model):
    image = torch.rand(3, 32, 32)
    assert build(model).predict(image, ['background']).label_map.eq(0).all()
    assert build(model).predict(image, ['sky', 'tree']).probs.shape == (2, 32, 32)


def test_where_the_background_stands_does_not_matter(model):
    image, last = torch.rand(3, 40, 56), [*CLASSES[1:], 'background']
    first = build(model).predict(image, CLASSES)
    moved = build(model).predict(image, ClassList(last))
    assert torch.equal(moved.probs, first.probs.roll(-1, dims=0))


def test_a_folder_as_the_hub_has_it(tmp_path):
    words = build_tokenizer(['sky', 'tree', 'bush', 'ball'])
    config = small_config()
    config.text_config.update(dict(vocab_size=len(words), eos_token_id=words.eos_token_id, max_position_embeddings=77))
    torch.manual_seed(0)
    GroupViTModel(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    if not (tmp_path / 'vocab.json').exists():  # transformers 4 has written it
        write_vocabulary(words, tmp_path)
    source = build_source('groupvit', dict(model=str(tmp_path), image_scale=(96, 32), window=(32, 16)))
    found = source.predict(torch.rand(3, 40, 56), CLASSES)
    assert found.probs.shape == (4, 40, 56)
    assert source.words(['sky', 'tree']).shape == (2, 32)
    assert not source.words(['sky']).allclose(source.words(['tree']), atol=1e-3)


def test_a_folder_without_a_layer_is_refused(model, tmp_path):
    from safetensors.torch import load_file, save_file

    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / 'model.safetensors')
    del weights['vision_model.encoder.stages.1.layers.0.mlp.fc1.weight']
    save_file(weights, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ValueError, match=r'GroupViT .*: expected weights of every layer, 1 are missing.*stages.1'):
        GroupViTSegmentor.from_config(str(tmp_path))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(background_score=2.0), r'background_score: expected a number in \[0, 1\], got 2.0'),
        (dict(pamr_iterations=-1), 'pamr_iterations: expected a count, got -1'),
        (dict(window=(30, 16)), r'window: expected a side that is a multiple of 8'),
        (dict(window=(32, 40)), r'a stride of at most that, got \(32, 40\)'),
        (dict(image_scale=(32, 96)), r'image_scale: expected a longer and a shorter side'),
        (dict(templates=('a photo',)), "templates: expected prompts with one '{name}'"),
    ],
)
def test_exceptions(model, options, message):
    with pytest.raises(ValueError, match=message):
        build(model, **options)
