"""Pictures with masks: what is drawn, how labels are decided; C classes, K named ones, H W picture size."""

import pytest
import torch

from mmseg_g4seg.coarse.attention import AttentionSource
from mmseg_g4seg.coarse.daam import DAAM
from mmseg_g4seg.coarse.generation import PairGenerator, decide_pair, draw_classes, generate_pairs
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.prediction import ClassList
from tests.coarse.priors import FAMILIES, IMAGE_SIZE, build

CLASSES = ClassList(['background', 'sky', 'hot air balloon', 'fish'])


@pytest.fixture(scope='module')
def tiny():
    return load_prior('tiny')


def pairs(prior, count, *, classes=CLASSES, source=None, **options):
    options = {'steps': 1, **options}
    return list(generate_pairs(prior, classes, count, source=dict(image_size=IMAGE_SIZE, **(source or {})), **options))


@pytest.mark.parametrize('family', FAMILIES)
def test_every_architecture(family):
    (pair,) = pairs(build(family), 1, objects=(2, 2))
    assert pair.image.shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    assert torch.equal(pair.image * 255, (pair.image * 255).round())
    assert pair.prediction.probs.shape == (4, IMAGE_SIZE, IMAGE_SIZE)
    torch.testing.assert_close(pair.prediction.probs.sum(0), torch.ones(IMAGE_SIZE, IMAGE_SIZE))
    unnamed = [c for c in (1, 2, 3) if c not in pair.classes]
    assert not pair.prediction.probs[unnamed].any()
    assert set(pair.prediction.label_map.unique().tolist()) <= {0, 255, *pair.classes}
    assert pair.prompt == 'a photo of ' + ', '.join(CLASSES.labels[c] for c in pair.classes)


def test_a_picture_is_the_same_whatever_is_drawn_before_it(tiny):
    first, second, third = pairs(tiny, 3, objects=(1, 3), steps=2)
    alone = PairGenerator(DAAM(tiny, image_size=IMAGE_SIZE), CLASSES, objects=(1, 3), steps=2)(2)
    assert (alone.name, alone.prompt, alone.classes) == (third.name, third.prompt, third.classes)
    assert torch.equal(alone.image, third.image)
    assert not torch.equal(first.image, second.image)
    (other,) = pairs(tiny, 1, seed=1, objects=(1, 3), steps=2)
    assert not torch.equal(other.image, first.image)


def test_scores_are_those_of_the_source_on_the_recorded_passes(tiny, monkeypatch):
    """The token of each name, in the order of the prompt."""
    seen, map_of = [], DAAM.map_of
    monkeypatch.setattr(DAAM, 'map_of', lambda *call: seen.append(call[-1]) or map_of(*call))
    (pair,) = pairs(tiny, 1, objects=(3, 3), source=dict(type='DAAM'))
    encoded = tiny.encode_prompts([[CLASSES.labels[c] for c in pair.classes]], 'a photo of {name}')
    assert [t.tolist() for t in seen] == [mask.nonzero()[:, 0].tolist() for mask in encoded.token_masks[0]]
    assert max(len(t) for t in seen) == 3  # hot air balloon


def test_diffsegmenter_weighs_the_names_that_it_draws(tiny):
    drawn = [pairs(tiny, 1, source=dict(type='DiffSegmenter', name_weight=w))[0] for w in (1.0, 5.0)]
    assert not torch.equal(drawn[0].image, drawn[1].image)


def test_classes_take_turns():
    drawn = [draw_classes([1, 2, 5], (1, 2), seed=0, index=i) for i in range(60)]
    assert drawn == [draw_classes([1, 2, 5], (1, 2), seed=0, index=i) for i in range(60)]
    firsts = [classes[0] for classes in drawn]
    assert all(sorted(firsts[i : i + 3]) == [1, 2, 5] for i in range(0, 60, 3))
    assert len({tuple(firsts[i : i + 3]) for i in range(0, 60, 3)}) > 2
    assert {len(classes) for classes in drawn} == {1, 2}
    assert all(len(set(classes)) == len(classes) for classes in drawn)
    assert drawn != [draw_classes([1, 2, 5], (1, 2), seed=1, index=i) for i in range(60)]


SCORES = torch.tensor([[[0.9, 0.1, 0.55, 0.8, 0.45]], [[0.1, 0.1, 0.1, 0.75, 0.1]]])
"""(K, H, W) of classes 3 and 1: sure, background, unsure against it, against each other, nearly background."""
HALF = torch.full((1, 5), 0.5)


def test_labels_with_a_background():
    found = decide_pair(SCORES, HALF, [3, 1], CLASSES, 0.1)
    assert found.label_map.tolist() == [[3, 0, 255, 255, 255]]
    assert decide_pair(SCORES, HALF, [3, 1], CLASSES, 0.0).label_map.tolist() == [[3, 0, 3, 3, 0]]
    torch.testing.assert_close(found.probs[:, 0, 0], torch.tensor([0.5, 0.1, 0, 0.9]) / 1.5)


def test_labels_without_a_background():
    classes = ClassList(['tree', 'sky', 'ball', 'fish', 'star'])
    found = decide_pair(SCORES, HALF, [3, 1], classes, 0.1)
    assert found.label_map.tolist() == [[3, 255, 255, 255, 255]]
    assert decide_pair(SCORES, HALF, [3, 1], classes, 0.0).label_map.tolist() == [[3, 255, 3, 3, 255]]
    torch.testing.assert_close(found.probs[:, 0, 1], torch.tensor([0.5 / 3, 0.1, 0.5 / 3, 0.1, 0.5 / 3]) / 0.7)


def test_labels_where_the_background_is_what_the_classes_leave():
    rest = 1 - SCORES.amax(dim=0)
    found = decide_pair(SCORES, rest, [3, 1], CLASSES, 0.1)
    # 0.9 against 0.1; 0.1 against 0.9; 0.55 against 0.45; two alike; 0.45 against 0.55
    assert found.label_map[0, [0, 1, 3]].tolist() == [3, 0, 255]
    assert decide_pair(SCORES, rest, [3, 1], CLASSES, 0.04).label_map.tolist() == [[3, 0, 3, 3, 0]]


def test_all_classes_named_and_no_background():
    found = decide_pair(SCORES[:, :, :1], HALF[:, :1], [1, 0], ClassList(['tree', 'sky']), 0.1)
    torch.testing.assert_close(found.probs[:, 0, 0], torch.tensor([0.1, 0.9]))


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(objects=(0, 1)), r'objects: expected least and most within 1 to 3'),
        (dict(objects=(2, 1)), 'objects: expected least and most'),
        (dict(objects=(1, 4)), r'got \(1, 4\)'),
        (dict(objects=2), 'objects: expected least and most within 1 to 3, .* got 2'),
        (dict(unsure=1.0), r'unsure: expected a number in \[0, 1\), got 1.0'),
        (dict(unsure='x'), r'unsure: expected a number in \[0, 1\), got .x.'),
        (dict(steps=0), 'steps: expected an integer from 1'),
        (dict(source=dict(levels=[64])), 'levels: this prior has self-attention at .* got 64'),
        (dict(source=dict(type='DAAM', levels=[3])), 'levels: this prior has cross-attention at .* got 3'),
        (dict(source=dict(imagesize=3)), "SeeDiff has no option 'imagesize'"),
        (dict(classes=['background', 'x' * 60]), r"class name 'x+' ends at token \d+ of its prompt"),
        (dict(classes=[str(i) for i in range(600)]), 'expected a background class among more than 512'),
    ],
)
def test_refused_before_any_picture(tiny, options, said):
    with pytest.raises(ValueError, match=said):
        generate_pairs(
            tiny,
            options.pop('classes', CLASSES),
            1,
            source={'image_size': IMAGE_SIZE, **options.pop('source', {})},
            **options,
        )


def test_a_negative_count(tiny):
    with pytest.raises(ValueError, match='count: expected at least 0, got -1'):
        generate_pairs(tiny, CLASSES, -1)


def test_a_source_of_another_kind(tiny):
    with pytest.raises(ValueError, match='source'):
        generate_pairs(tiny, CLASSES, 1, source=dict(type='PAMRRefiner'))
    assert issubclass(DAAM, AttentionSource)
