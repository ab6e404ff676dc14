"""CLIP-ES (Lin et al., CVPR 2023, arXiv 2212.09506): Grad-CAM on CLIP, spread by its own attention.

Shapes: K classes of an image, W words (the K and the background's), H W image size, h w patch grid, N = h w patches,
E embedding channels.

    seed_k  = R (B_k M_k), stretched;  M_k a class's map, R the balanced affinity of patches,
              B_k 1 in the boxes of the connected parts of M_k above a threshold
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.coarse.clip.vision import check_vision_transformer, normalise_pixels, patch_size
from mmseg_g4seg.coarse.seeds import SeedSource
from mmseg_g4seg.coarse.words import WordEncoder
from mmseg_g4seg.features.clip import load_open_clip
from mmseg_g4seg.io.background_rule import BackgroundRule
from mmseg_g4seg.prediction import ClassName, synonyms
from mmseg_g4seg.registry import NUMBER, expect_option, register

from .maps import balanced_affinity, class_maps, part_boxes, stretch
from .words import BACKGROUND_WORDS, PROMPT_NAMES

TEMPLATE = 'a clean origami {name}.'


@register
class CLIPESSource(SeedSource):
    """Seeds from CLIP, of the classes that an image is said to show.

    Examples:
        >>> source = load_source('clip-es')
        >>> scores = source(image, ['background', 'cat', 'dog'], probs=True)  # a picture of a cat and a dog
    """

    file_format: ClassVar[str] = 'clip-es'

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Callable[[list[str]], Tensor],
        template: str = TEMPLATE,
        background_words: Sequence[str] = BACKGROUND_WORDS,
        prompt_names: Mapping[str, str] = PROMPT_NAMES,
        box_threshold: float = 0.4,
        alpha: float = 1.0,
    ) -> None:
        """Args:
            model: an `open_clip` model.
            tokenizer: its tokenizer, texts in, ids out.
            template: the prompt, `{name}` standing for a word.
            background_words: what the classes compete with; those that are classes of the image themselves are left
                out. The authors' for VOC when not given.
            prompt_names: what a class is called in its prompt, by its name; the authors' for VOC and COCO when not
                given. Synonyms of a class are one prompt, with commas between, as the authors write them.
            box_threshold: share of a map's maximum above which it is in a box; the authors' is 0.4 for VOC, 0.7 for
                COCO.
            alpha: exponent of the background's score, (1 - highest score)^alpha.

        Raises:
            ValueError: if an option is out of range, or the model is no vision transformer of open_clip's.
        """
        check_vision_transformer(model.visual)
        if isinstance(background_words, str) or not background_words:
            raise ValueError(f'background_words: expected a list of words, got {background_words!r}')
        self.box_threshold = expect_option(
            'box_threshold', box_threshold, NUMBER, 'a share in (0, 1)', holds=lambda share: 0 < share < 1
        )
        self.background_rule = BackgroundRule('power', alpha)
        self.background_words, self.prompt_names = list(background_words), dict(prompt_names)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.words = tokenizer, WordEncoder(self.encode_texts, [template])

    @classmethod
    def from_config(
        cls,
        model: str = 'ViT-B-16-quickgelu',
        pretrained: str = 'openai',
        *,
        template: str = TEMPLATE,
        background_words: Sequence[str] = BACKGROUND_WORDS,
        prompt_names: Mapping[str, str] = PROMPT_NAMES,
        box_threshold: float = 0.4,
        alpha: float = 1.0,
    ) -> 'CLIPESSource':
        """Builds a model by its open_clip name and pretrained tag, or the path of a local weights file.

        Raises:
            ImportError: if open_clip is missing.
            ValueError: if the weights were trained with another activation than the model has; or as the constructor.
            RuntimeError: if there are no weights, which open_clip would leave random.
        """
        built = load_open_clip(model, pretrained)
        import open_clip  # after the loader, which says how to install it

        return cls(
            built,
            tokenizer=open_clip.get_tokenizer(model),
            template=template,
            background_words=background_words,
            prompt_names=prompt_names,
            box_threshold=box_threshold,
            alpha=alpha,
        )

    @classmethod
    def methods(cls) -> dict[str, dict[str, Any]]:
        return {'clip-es': {'type': cls.__name__}}

    def to(self, device: torch.device | str) -> 'CLIPESSource':
        self.model.to(device)
        return self

    def encode_texts(self, texts: list[str]) -> Tensor:
        """N prompts -> (N, E) float, not of length 1."""
        device = self.model.visual.conv1.weight.device
        return self.model.encode_text(self.tokenizer(texts).to(device))

    def score(self, image: Tensor, names: Sequence[ClassName]) -> Tensor:
        visual = self.model.visual
        patch = patch_size(visual)
        height, width = (math.ceil(side / patch) * patch for side in image.shape[1:])
        pixels = image[None].to(visual.conv1.weight)
        # bicubic weights leave [0, 1] at edges
        resized = F.interpolate(pixels, (height, width), mode='bicubic', antialias=True).clamp(0, 1)
        words = self.words([*map(self._prompt_name, names), *self._competitors(names)]).to(pixels.device)
        maps = self.seed_maps(normalise_pixels(visual, resized), words, len(names))
        scores = F.interpolate(maps[None], tuple(image.shape[1:]), mode='bilinear')[0]
        return scores.to(image.device)

    def seed_maps(self, pixels: Tensor, words: Tensor, count: int) -> Tensor:
        """The seeds on the patch grid.

        Args:
            pixels: (1, 3, 16 h, 16 w) float, normalised.
            words: (W, E) float of length 1, the image's classes first.
            count: K.

        Returns:
            (K, h, w) float32 in [0, 1].
        """
        maps, attention = class_maps(self.model, pixels, words, count)
        affinity = balanced_affinity(attention)
        boxed = torch.stack([part_boxes(m, self.box_threshold) for m in maps])
        # of affinity's columns those in the boxes alone: what is outside gives nothing, and may still take
        spread = (boxed * maps).flatten(1) @ affinity.T  # (K, N)
        return stretch(spread.view_as(maps))

    def _prompt_name(self, name: ClassName) -> str:
        words = ','.join(synonyms(name))
        return self.prompt_names.get(words, words)

    def _competitors(self, names: Sequence[ClassName]) -> list[str]:
        """The background's words; `keyboard` is none in a picture of COCO's keyboard."""
        own = {word for name in names for word in synonyms(name)}
        return [word for word in self.background_words if word not in own]
