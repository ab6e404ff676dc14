"""Class activation maps of a classifier over several scales, as IRN makes them (Ahn et al., CVPR 2019, 1904.05044).

Shapes: K classes of an image, O outputs of the classifier, D feature channels, H W image size, h w feature grid.

    M_k    = relu(sum_d w_kd A_d),  A the features before the pooling, w the last layer's weights
    seed_k = sum of M_k over the scales and both flips, over its maximum + 1e-5
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.io.background_rule import BackgroundRule
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.prediction import ClassList, ClassName, synonyms
from mmseg_g4seg.registry import NUMBER, expect_option, register

from .classifiers import MapClassifier, load_classifier
from .seeds import SeedSource

SCALES = (1.0, 0.5, 1.5, 2.0)
STRIDE = 16
"""Of IRN's grid: maps are resized to a multiple of it, then cut: a cell covers the pixels that it was made of."""


@register
class CAMSource(SeedSource):
    """Seeds from a classifier that was trained on image-level labels, of the classes that an image is said to show.

    Examples:
        >>> source = load_source('cam', model='resnet50', weights='res50_cam.pth', names=['aeroplane', ...])
        >>> scores = source(image, ['background', 'cat', 'dog'], probs=True)  # a picture of a cat and a dog
    """

    file_format: ClassVar[str] = 'irn'

    def __init__(
        self,
        classifier: MapClassifier,
        *,
        names: Sequence[ClassName],
        scales: Sequence[float] = SCALES,
        background_score: float = 0.15,
    ) -> None:
        """Args:
            classifier: `load_classifier`.
            names: of its O outputs, in their order.
            scales: of the image; each is read as it is and mirrored.
            background_score: of the background, everywhere.

        Raises:
            ValueError: if an option is out of range, or the names are not those of the outputs.
        """
        self.classifier, self.scales = classifier, list(scales)
        if not self.scales or not all(isinstance(s, NUMBER) and s > 0 for s in self.scales):
            raise ValueError(f'scales: expected numbers above 0, at least one, got {scales!r}')
        expect_option('background_score', background_score, NUMBER, 'a share in (0, 1)', holds=lambda s: 0 < s < 1)
        self.background_rule = BackgroundRule('threshold', background_score)
        if len(names) != classifier.outputs:
            raise ValueError(
                f"names: expected one for each of the classifier's {classifier.outputs} outputs, got {len(names)}"
            )
        self._outputs = {word: i for i, name in enumerate(names) for word in synonyms(name)}

    @classmethod
    def from_config(
        cls,
        model: str,
        weights: str | Path,
        names: str | Sequence[ClassName],
        *,
        scales: Sequence[float] = SCALES,
        background_score: float = 0.15,
    ) -> 'CAMSource':
        """Builds a classifier as `load_classifier` does; `names` may be a class file, whose background does not count.

        Raises:
            OSError: if a file is missing.
            ValueError: if the weights are of another model; or as the constructor.
        """
        listed = read_classes(names) if isinstance(names, str) else ClassList(names)
        outputs = [name for c, name in enumerate(listed) if c != listed.background]
        classifier = load_classifier(model, weights, len(outputs))
        return cls(classifier, names=outputs, scales=scales, background_score=background_score)

    @classmethod
    def methods(cls) -> dict[str, dict[str, Any]]:
        return {'cam': {'type': cls.__name__}}

    def to(self, device: torch.device | str) -> 'CAMSource':
        self.classifier.to(device)
        return self

    def score(self, image: Tensor, names: Sequence[ClassName]) -> Tensor:
        outputs = [self._output(name) for name in names]
        height, width = image.shape[1:]
        whole = [-(-side // STRIDE) * STRIDE for side in (height, width)]
        total = torch.zeros(len(names), height, width, device=self.classifier.weight.device)
        for scale in self.scales:
            size = [max(1, round(side * scale)) for side in (height, width)]
            # bicubic weights leave [0, 1] at edges
            resized = F.interpolate(image[None], size, mode='bicubic', antialias=True).clamp(0, 1)
            maps = self.classifier.maps(torch.cat([resized, resized.flip(-1)]))[:, outputs]  # (2, K, h, w)
            both = maps[:1] + maps[1:].flip(-1)
            total += F.interpolate(both, whole, mode='bilinear')[0, :, :height, :width]
        return (total / (total.amax(dim=(1, 2), keepdim=True) + 1e-5)).to(image.device)

    def _output(self, name: ClassName) -> int:
        found = [self._outputs[word] for word in synonyms(name) if word in self._outputs]
        if not found:
            raise ValueError(f'classes: expected some of those of the classifier, {list(self._outputs)}, got {name!r}')
        return found[0]
