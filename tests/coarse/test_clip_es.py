"""CLIP-ES beside its authors' numbers, and what it does with names, sizes and images of nothing."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg import load_source
from mmseg_g4seg.coarse.clip_es import CLIPESSource
from mmseg_g4seg.coarse.clip_es.maps import balanced_affinity, class_maps, part_boxes
from mmseg_g4seg.coarse.clip_es.words import BACKGROUND_WORDS
from mmseg_g4seg.prediction import ClassList
from tests.coarse.clip.tiny import build_clip, load_visual, tokenizer
from tests.oracle_files import load_oracle

pytest.importorskip('scipy')
pytest.importorskip('open_clip')


@pytest.fixture(scope='module')
def model():
    return build_clip(patch_size=16)


@pytest.fixture(scope='module')
def source(model):
    return CLIPESSource(model, tokenizer=tokenizer)


class TestOracle:
    @pytest.fixture(scope='class')
    def case(self):
        oracle, meta = load_oracle('clip_es')
        model = load_visual(build_clip(patch_size=meta['patch']), oracle)
        model.logit_scale.data.fill_(math.log(meta['logit_scale']))
        return model, oracle, meta, F.normalize(oracle['in_text_features'], dim=-1)

    def test_maps_and_attention(self, case):
        model, oracle, meta, words = case
        maps, attention = class_maps(model, oracle['in_image'], words, meta['foreground'])
        torch.testing.assert_close(maps, oracle['out_low'], rtol=0, atol=5e-6)
        torch.testing.assert_close(attention, oracle['out_attention'], rtol=0, atol=5e-6)
        torch.testing.assert_close(balanced_affinity(attention), oracle['out_affinity'], rtol=0, atol=5e-6)
        boxes = torch.stack([part_boxes(m, meta['box_threshold']) for m in maps])
        assert torch.equal(boxes.float(), oracle['out_box_mask'])

    @pytest.mark.parametrize('alpha', [1, 2])
    def test_seeds_and_labels(self, case, alpha):
        model, oracle, meta, words = case

        class OfOracle(CLIPESSource):
            """Its image is normalised and resized already, its words are encoded."""

            def score(self, image, names):
                maps = self.seed_maps(oracle['in_image'], words, len(names))
                return F.interpolate(maps[None], meta['ori_size'], mode='bilinear')[0]

        source, image = OfOracle(model, tokenizer=tokenizer, alpha=float(alpha)), torch.rand(3, *meta['ori_size'])
        scores = source.score(image, ['a', 'b', 'c'])
        torch.testing.assert_close(scores, oracle['out_high'], rtol=0, atol=5e-6)
        found = source.predict(image, ['background', 'a', 'b', 'c'])
        assert torch.equal(found.label_map, oracle[f'out_labels_alpha{alpha}'].long())


def test_an_image_that_needs_no_resize_goes_the_way_of_the_oracle(source):
    image = torch.rand(3, 32, 48)
    words = source.words(['cat', 'person with clothes,people,human', *BACKGROUND_WORDS])
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    with torch.no_grad():
        maps = source.seed_maps(((image - mean) / std)[None], words, 2)
    expected = F.interpolate(maps[None], (32, 48), mode='bilinear')[0]
    found = source.predict(image, ['background', 'cat', 'person'])
    assert float(expected.amax()) > 0.9
    background = 1 - expected.amax(dim=0, keepdim=True)
    together = torch.cat([background, expected])
    torch.testing.assert_close(found.probs, together / together.sum(dim=0), rtol=0, atol=1e-5)


def test_only_the_classes_of_an_image_get_a_map_and_they_compete_with_no_other(source):
    image, classes = torch.rand(3, 40, 50), ClassList(['background', 'cat', 'dog', 'bird'])
    found = source.predict_present(image, classes, [3])
    assert set(found.label_map.unique().tolist()) <= {0, 3}
    assert found.probs[[1, 2]].abs().sum() == 0
    torch.testing.assert_close(found.probs[[0, 3]], source.predict(image, ['background', 'bird']).probs)
    nothing = source.predict_present(image, classes, [])
    assert (nothing.label_map == 0).all()
    torch.testing.assert_close(nothing.probs[0], torch.ones(40, 50))


def test_words_of_the_background_that_are_classes_do_not_compete(model):
    asked = []

    def listen(texts):
        asked.extend(texts)
        return tokenizer(texts)

    source = CLIPESSource(model, tokenizer=listen, background_words=['tree', 'sky', 'keyboard'])
    source.predict(torch.rand(3, 32, 32), ['background', 'keyboard', ('chair', 'stool'), 'bird'])
    assert asked == [f'a clean origami {word}.' for word in ('keyboard', 'chair,stool', 'bird avian', 'tree', 'sky')]
    asked.clear()
    source.predict(torch.rand(3, 32, 32), ['background', 'bird'])
    assert asked == []  # each word is encoded once


@pytest.mark.parametrize('size', [(1, 1), (7, 2000), (33, 17)])
def test_odd_images(source, size):
    found = source.predict(torch.rand(3, *size), ['background', 'cat', 'dog'])
    assert found.label_map.shape == size
    assert found.probs.isfinite().all()
    torch.testing.assert_close(found.probs.sum(dim=0), torch.ones(size))


def test_an_image_of_one_colour_has_no_nan(source):
    found = source.predict(torch.zeros(3, 48, 48), ['background', 'cat'])
    assert found.probs.isfinite().all()


def test_batch_and_order_do_not_matter(source):
    images = [torch.rand(3, 32, 48), torch.rand(3, 50, 20)]
    together = source.predict_batch(images, ['background', 'cat'])
    turned = source.predict_batch(images[::-1], ['background', 'cat'])[::-1]
    for image, one, other in zip(images, together, turned, strict=True):
        alone = source.predict(image, ['background', 'cat'])
        assert torch.equal(one.probs, alone.probs)
        assert torch.equal(other.probs, alone.probs)


def test_boxes_join_at_corners_and_stop_before_the_last_row_and_column():
    scores = torch.zeros(6, 8)
    scores[0, 0] = scores[1, 1] = scores[2, 2] = 1.0  # a diagonal: one part
    scores[4:, 5:] = 0.9
    expected = np.zeros((6, 8), bool)
    expected[:3, :3] = True
    expected[4:5, 5:7] = True
    assert np.array_equal(part_boxes(scores, 0.4).numpy(), expected)
    assert part_boxes(torch.ones(1, 3), 0.4).tolist() == [[True, True, False]]
    assert not part_boxes(torch.zeros(4, 4), 0.4).any()


def test_source_by_name_checks_its_options(model):
    with pytest.raises(ValueError, match="no option 'alfa': did you mean 'alpha'"):
        load_source('clip-es', alfa=2)
    for options, message in (
        (dict(alpha=0.0), 'an exponent above 0'),
        (dict(box_threshold=1.0), 'box_threshold: expected a share'),
        (dict(background_words='sky'), 'background_words: expected a list'),
        (dict(template='a picture'), 'templates: expected prompts'),
    ):
        with pytest.raises(ValueError, match=message):
            CLIPESSource(model, tokenizer=tokenizer, **options)
