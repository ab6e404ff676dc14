"""Which classes an image shows: what a source that maps every class it is given has to be told.

Shapes: C classes of the data set, W words (all synonyms), D feature channels, H W image size.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.features.clip import load_open_clip, pixel_statistics
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.prediction import ClassList, synonyms
from mmseg_g4seg.registry import register


class ClassFinder(ABC):
    """Names the classes of an image without looking for their places."""

    def to(self, device: torch.device | str) -> 'ClassFinder':
        """Moves what has weights to a device, in place."""
        return self

    @abstractmethod
    def __call__(self, image: Tensor, classes: ClassList) -> list[int]:
        """Indices, in ascending order, of the classes in (3, H, W) float RGB in [0, 1], never the background."""


@register
class CLIPClassFinder(ClassFinder):
    """CLIP's zero-shot classifier over the whole image: all classes that are probable enough, and the best."""

    def __init__(self, model: Any, *, tokenizer: Any, threshold: float = 0.1) -> None:
        """Args:
            model: an `open_clip` model.
            tokenizer: its tokenizer, texts in, ids out.
            threshold: least probability of a class, by the softmax over all classes.

        Raises:
            ValueError: if the threshold is out of [0, 1].
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f'threshold: expected a probability in [0, 1], got {threshold!r}')
        self.model, self.tokenizer, self.threshold = model.eval().requires_grad_(False), tokenizer, threshold
        self._words: dict[ClassList, Tensor] = {}

    @classmethod
    def from_config(
        cls, model: str = 'ViT-B-16-quickgelu', pretrained: str = 'openai', *, threshold: float = 0.1
    ) -> 'CLIPClassFinder':
        """Builds a model by its open_clip name and pretrained tag, or the path of a local weights file.

        Raises:
            ImportError: if open_clip is missing.
            ValueError: if the weights were trained with another activation than the model has.
            RuntimeError: if there are no weights, which open_clip would leave random.
        """
        built = load_open_clip(model, pretrained)
        import open_clip  # after the loader, which says how to install it

        return cls(built, tokenizer=open_clip.get_tokenizer(model), threshold=threshold)

    def to(self, device: torch.device | str) -> 'CLIPClassFinder':
        self.model.to(device)
        # moved, not forgotten: a host says the device with every image
        self._words = {classes: words.to(device) for classes, words in self._words.items()}
        return self

    @without_autocast()
    @torch.no_grad()
    def __call__(self, image: Tensor, classes: ClassList) -> list[int]:
        candidates = [c for c in range(len(classes)) if c != classes.background]
        if not candidates:
            return []
        owners = [c for c in candidates for _ in synonyms(classes[c])]
        if classes not in self._words:
            texts = [f'a photo of a {name}.' for c in candidates for name in synonyms(classes[c])]
            device = next(self.model.parameters()).device
            self._words[classes] = F.normalize(self.model.encode_text(self.tokenizer(texts).to(device)).float(), dim=-1)
        words = self._words[classes]  # (W, D)
        scores = self.model.logit_scale.exp().float() * words @ self._encode(image.to(words))  # (W,)
        best = torch.stack([scores[[i for i, o in enumerate(owners) if o == c]].amax() for c in candidates])
        probs = best.softmax(dim=0)
        found = {candidates[i] for i in torch.where(probs >= self.threshold)[0].tolist()}
        return sorted(found | {candidates[int(probs.argmax())]})

    def _encode(self, image: Tensor) -> Tensor:
        """(3, H, W) float RGB in [0, 1] -> (D,) of length 1."""
        size = self.model.visual.image_size
        side = (size, size) if isinstance(size, int) else tuple(size)
        # squeezed, not cropped: an object at the border counts, too
        resized = F.interpolate(image[None], side, mode='bicubic', antialias=True).clamp(0, 1)
        statistics = pixel_statistics(self.model.visual)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1).to(resized) for values in statistics)
        encoded = self.model.encode_image((resized - mean) / std).float()
        return F.normalize(encoded, dim=-1)[0]
