"""CLIP-ES (Lin et al., CVPR 2023, arXiv 2212.09506): Grad-CAM on CLIP, spread by its own attention.

Shapes: K classes of an image, W words (the K and the background's), H W image size, h w patch grid, N = h w patches,
T = 1 + N tokens (the first is the whole image's), D width, E embedding channels.

    p       = softmax(scale · cos(mean of patches, words)) over the K classes and the background's words
    M_k     = relu(sum_d mean_N(∂p_k / ∂A_d) A_d),  A the last block's ln_1, stretched to [0, 1]
    R       = (S + Sᵀ) / 2 squared,  S the mean attention of the last blocks, its columns and rows summed to 1 by turns
    seed_k  = R (B_k M_k), stretched;  B_k 1 in the boxes of the connected parts of M_k above a threshold
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.features.clip import load_open_clip
from mmseg_g4seg.io.background_rule import BackgroundRule
from mmseg_g4seg.prediction import ClassName, synonyms
from mmseg_g4seg.registry import NUMBER, expect_option, register

from .clip.vision import (
    check_vision_transformer,
    feed_forward,
    merge_heads,
    normalise_pixels,
    patch_size,
    project_tokens,
    split_heads,
)
from .clip.words import Tokenizer, WordEncoder
from .clip_es_words import BACKGROUND_WORDS, PROMPT_NAMES
from .seeds import SeedSource

TEMPLATE = 'a clean origami {name}.'
ATTENTION_BLOCKS = 8
BALANCING_ROUNDS = 3


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
        tokenizer: Tokenizer,
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
        self.words = WordEncoder(self.model, tokenizer, [template])

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
        self.words.clear()
        return self

    def score(self, image: Tensor, names: Sequence[ClassName]) -> Tensor:
        visual = self.model.visual
        patch = patch_size(visual)
        height, width = (math.ceil(side / patch) * patch for side in image.shape[1:])
        pixels = image[None].to(visual.conv1.weight)
        # bicubic weights leave [0, 1] at edges
        resized = F.interpolate(pixels, (height, width), mode='bicubic', antialias=True).clamp(0, 1)
        words = self.words([*map(self._prompt_name, names), *self._competitors(names)])
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


def class_maps(model: Any, pixels: Tensor, words: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Grad-CAM of the first words, and the attention among patches.

    Args:
        model: of open_clip.
        pixels: (1, 3, 16 h, 16 w) float, normalised.
        words: (W, E) float of length 1.
        count: K, how many of them.

    Returns:
        (K, h, w) float32 in [0, 1], and (N, N) float32, the mean over heads and the last blocks.
    """
    visual = model.visual
    tokens, grid = _embed(visual, pixels)
    *earlier, last = visual.transformer.resblocks
    attentions = []
    for block in earlier:
        tokens, attention = _attend(block, tokens, block.ln_1(tokens))
        attentions.append(attention)
    with torch.enable_grad():
        activations = last.ln_1(tokens).detach().requires_grad_()
        tokens, attention = _attend(last, tokens, activations)
        feature = project_tokens(visual, tokens)[0, 1:].mean(dim=0).float()
        probs = (model.logit_scale.exp() * F.normalize(feature, dim=0) @ words.T).softmax(dim=0)  # (W,)
        gradients = [torch.autograd.grad(probs[k], activations, retain_graph=True)[0] for k in range(count)]
    weights = torch.cat(gradients)[:, 1:].mean(dim=1).float()  # (K, D)
    maps = (weights @ activations[0, 1:].detach().float().T).relu().unflatten(1, grid)
    last_attentions = torch.stack([*attentions, attention.detach()][-ATTENTION_BLOCKS:])
    # twice, as the authors: gradients of a sure softmax are as small as what guards the first division
    return stretch(stretch(maps)), last_attentions.mean(dim=0)[0, 1:, 1:].float()


def _embed(visual: Any, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Tokens of the first block, (1, T, D), and the grid; positions bilinear, to the grid itself, as the authors have."""
    patches = visual.conv1(pixels)  # (1, D, h, w)
    grid = (patches.shape[-2], patches.shape[-1])
    whole, own = visual.positional_embedding[:1], visual.positional_embedding[1:]
    maps = own.unflatten(0, tuple(visual.grid_size)).permute(2, 0, 1)[None]
    resized = F.interpolate(maps, grid, mode='bilinear')[0].flatten(1).T  # (N, D)
    first = visual.class_embedding.expand(1, 1, -1).to(patches)
    tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)  # (1, T, D)
    return visual.ln_pre(tokens + torch.cat([whole, resized]).to(tokens)), grid


def _attend(block: Any, tokens: Tensor, normalised: Tensor) -> tuple[Tensor, Tensor]:
    """A block by hand, for its attention: (1, T, D) twice -> (1, T, D), and (1, T, T), the mean over heads."""
    query, key, value = split_heads(block.attn, normalised)
    attention = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(dim=-1)
    return feed_forward(block, tokens, merge_heads(block.attn, attention @ value)), attention.mean(dim=1)


def balanced_affinity(attention: Tensor) -> Tensor:
    """Makes attention among patches symmetric: (N, N) float, rows in [0, 1] -> (N, N)."""
    for _ in range(BALANCING_ROUNDS):
        attention = attention / attention.sum(dim=0, keepdim=True)
        attention = attention / attention.sum(dim=1, keepdim=True)
    symmetric = (attention + attention.T) / 2
    return symmetric @ symmetric


def part_boxes(scores: Tensor, threshold: float) -> Tensor:
    """The boxes of a map's connected parts, patches that touch at a corner being connected.

    Args:
        scores: (h, w) float in [0, 1].
        threshold: share of the maximum that is in a part.

    Returns:
        (h, w) bool.

    Raises:
        ImportError: if scipy is missing.
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise ImportError('CLIP-ES needs scipy: pip install "mmseg_g4seg[seeds]"') from error
    values = (scores * 255).byte().cpu().numpy()
    parts, _ = ndimage.label(values > int(threshold * values.max()), structure=np.ones((3, 3)))
    inside = torch.zeros_like(scores, dtype=torch.bool)
    # the authors' boxes never reach the grid's last row and column; a grid of one row would have none
    bottom, right = (max(side - 1, 1) for side in scores.shape)
    for rows, columns in ndimage.find_objects(parts):
        inside[rows.start : min(rows.stop, bottom), columns.start : min(columns.stop, right)] = True
    return inside


def stretch(maps: Tensor) -> Tensor:
    """Each map from 0 to nearly 1, a flat one to 0: (K, h, w) float -> (K, h, w)."""
    raised = maps - maps.amin(dim=(1, 2), keepdim=True)
    return raised / (1e-7 + raised.amax(dim=(1, 2), keepdim=True))
