"""Classes that CLIP finds; D feature channels, W words."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmseg_g4seg.coarse.class_finder import CLIPClassFinder
from mmseg_g4seg.prediction import ClassList

WORDS = {'sky': 0, 'tree': 1, 'wood': 2, 'ball': 3}
CLASSES = ClassList(['background', 'sky', ('tree', 'wood'), 'ball'])


class Words(nn.Module):
    """Texts are unit vectors, an image is what the test says."""

    def __init__(self, image):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(1.0))
        self.image, self.visual = image, SimpleNamespace(image_size=8)

    def encode_image(self, pixels):
        assert pixels.shape == (1, 3, 8, 8)
        assert pixels.min() < 0 < pixels.max(), 'normalised'
        return torch.tensor([self.image])

    def encode_text(self, ids):
        return torch.eye(4)[ids] * 7


def tokenizer(texts):
    return torch.tensor([WORDS[text.removeprefix('a photo of a ').removesuffix('.')] for text in texts])


def find(image, **options):
    return CLIPClassFinder(Words(image), tokenizer=tokenizer, **options)(torch.rand(3, 12, 20), CLASSES)


def test_probable_classes_and_the_best():
    assert find([1.0, 0, 0, 0], threshold=1.0) == [1]
    # of a softmax over three classes at scale e: 0.79 where only one is like the image, 0.11 the others
    assert find([1.0, 0, 0, 0], threshold=0.5) == [1]
    assert find([1.0, 0, 0, 1.0], threshold=0.3) == [1, 3]


def test_the_best_synonym_counts():
    assert find([0, 0, 1.0, 0], threshold=1.0) == [2]
    assert find([0, 1.0, 0, 0], threshold=1.0) == [2]


def test_words_are_encoded_once(monkeypatch):
    """A host says the device with every image."""
    model, asked = Words([1.0, 0, 0, 0]), []
    encode = model.encode_text
    monkeypatch.setattr(model, 'encode_text', lambda ids: asked.append(ids) or encode(ids))
    finder = CLIPClassFinder(model, tokenizer=tokenizer)
    for _ in range(2):
        finder.to('cpu')(torch.rand(3, 12, 20), CLASSES)
    assert len(asked) == 1


def test_background_alone():
    finder = CLIPClassFinder(Words([1.0, 0, 0, 0]), tokenizer=tokenizer)
    assert finder(torch.rand(3, 12, 20), ClassList(['background'])) == []


def test_a_threshold_beyond_a_probability():
    with pytest.raises(ValueError, match=r'threshold: expected a probability in \[0, 1\], got 2'):
        CLIPClassFinder(Words([1.0, 0, 0, 0]), tokenizer=tokenizer, threshold=2)


def test_wrong_activation_is_refused():
    pytest.importorskip('open_clip')
    with pytest.raises(ValueError, match='QuickGELU'):
        CLIPClassFinder.from_config('ViT-B-16', 'openai')


def test_pixels_are_normalised_as_the_model_was_trained(monkeypatch):
    """SigLIP's with means of 0.5: white is 1 in every channel, and 1.9 to 2.2 by CLIP's."""
    model, seen = Words([1.0, 0, 0, 0]), []
    model.visual = SimpleNamespace(image_size=8, image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
    monkeypatch.setattr(model, 'encode_image', lambda pixels: seen.append(pixels) or torch.tensor([model.image]))
    CLIPClassFinder(model, tokenizer=tokenizer)(torch.ones(3, 12, 20), CLASSES)
    torch.testing.assert_close(seen[0], torch.ones(1, 3, 8, 8))
