"""GroupViT (CVPR 2022, arXiv 2202.11094): a transformer that groups patches, and compares the groups with words.

Shapes: B windows, G groups, K named classes, C classes of the data set, E embedding channels, H W image size, h w a
window's, N its patches.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.weights.hub import find_variant, refuse_missing_weights, without_loading_bar
from mmseg_g4seg.ops.imagenet import imagenet_pixels
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction, synonyms
from mmseg_g4seg.registry import expect_option, register

from .base import CoarseSource, check_images, share_out
from .clip.segmentor import PAMR_DILATIONS
from .sliding import Sliding, slide
from .words import WordEncoder, mean_direction

LIKELY = 5
"""Of how many classes an image may be: those that the whole of it is most like."""


@register
class GroupViTSegmentor(CoarseSource):
    """Compares groups of patches with words; a pixel has the scores of its group."""

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Callable[..., Any],
        templates: Sequence[str] = ('a photo of a {name}.',),
        image_scale: tuple[int, int] = (2048, 448),
        window: "tuple[int, int] | Literal['whole']" = (448, 224),
        background_score: float = 0.95,
        pamr_iterations: int = 0,
    ) -> None:
        """Args:
            model: a transformers `GroupViTModel`.
            tokenizer: its tokenizer, as transformers calls one.
            templates: prompts, `{name}` standing for the class's name.
            image_scale: longer and shorter side that images are resized to fit into, as mmseg's `Resize` takes it.
            window: side and stride of the windows that an image is read in, pixels; `whole` for none.
            background_score: a pixel whose group scores less is background, where the classes have one; the authors
                took 0.95 on VOC and COCO, 0.35 on Pascal Context.
            pamr_iterations: of a finish of the scores by PAMR, the background's among them; 0 for none.

        Raises:
            ValueError: if a number is out of range.
        """
        expect_option('background_score', background_score, float, 'a number in [0, 1]', holds=lambda v: 0 <= v <= 1)
        expect_option('pamr_iterations', pamr_iterations, int, 'a count', holds=lambda v: v >= 0)
        self.sliding = Sliding(
            image_scale, None if window == 'whole' else window, model.config.vision_config.patch_size
        )
        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer
        self.background_score, self.pamr_iterations = background_score, pamr_iterations
        self.words = WordEncoder(self.encode_texts, templates)

    @classmethod
    def from_config(
        cls,
        model: str = 'nvidia/groupvit-gcc-yfcc',
        *,
        templates: Sequence[str] = ('a photo of a {name}.',),
        image_scale: tuple[int, int] = (2048, 448),
        window: "tuple[int, int] | Literal['whole']" = (448, 224),
        background_score: float = 0.95,
        pamr_iterations: int = 0,
    ) -> 'GroupViTSegmentor':
        """Loads a model, and its tokenizer with it.

        Args:
            model: a folder or a hub id.
            templates: as the constructor, like all below.
            image_scale: likewise.
            window: likewise.
            background_score: likewise.
            pamr_iterations: likewise.

        Raises:
            ValueError: if weights are missing, which transformers leaves random with a warning.
        """
        from transformers import AutoTokenizer, GroupViTModel

        with without_loading_bar('transformers'):
            loaded: Any = GroupViTModel.from_pretrained(model, variant=find_variant(model), output_loading_info=True)
        network, info = loaded
        refuse_missing_weights(info, f'GroupViT {model!r}', network)
        return cls(
            network,
            tokenizer=AutoTokenizer.from_pretrained(model),
            templates=templates,
            image_scale=image_scale,
            window=window,
            background_score=background_score,
            pamr_iterations=pamr_iterations,
        )

    @classmethod
    def methods(cls) -> dict[str, dict[str, Any]]:
        return {'groupvit': {'type': cls.__name__}}

    def to(self, device: torch.device | str) -> 'GroupViTSegmentor':
        """Moves the model to a device, in place."""
        self.model.to(device)
        return self

    def encode_texts(self, texts: list[str]) -> Tensor:
        """N prompts -> (N, E) float, not of length 1."""
        tokens = self.tokenizer(texts, padding=True, return_tensors='pt').to(self.model.device)
        return self.model.text_projection(self.model.text_model(**tokens).pooler_output)

    @without_autocast()
    @torch.no_grad()
    def predict_batch(
        self,
        images: Sequence[Tensor],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        classes = ClassList.of(classes)
        check_images(images, keys)
        named = [c for c in range(len(classes)) if c != classes.background]
        words = [mean_direction(self.words(synonyms(classes[c]))) for c in named]
        return [self._predict(image, classes, named, words) for image in images]

    def _predict(self, image: Tensor, classes: ClassList, named: list[int], words: list[Tensor]) -> Prediction:
        scores = image.new_zeros(len(classes), *image.shape[-2:])
        if not named:
            return share_out(scores, classes)
        threshold = None if classes.background is None else self.background_score
        directions = torch.stack(words).to(self.model.device)  # (K, E)

        def score(windows: Tensor) -> Tensor:
            return torch.stack([self.window_scores(window, directions, threshold) for window in windows])

        image = image.to(directions)
        found = slide(image, self.sliding, score)
        if self.pamr_iterations:
            found = pixel_adaptive_average(image, found, PAMR_DILATIONS, self.pamr_iterations)
        scores[named] = found[: len(named)].to(scores)
        if classes.background is not None:
            scores[classes.background] = found[-1].to(scores)
        return share_out(scores, classes)

    def window_scores(self, window: Tensor, words: Tensor, background_score: float | None) -> Tensor:
        """Scores classes in a window.

        Args:
            window: (3, h, w) float RGB in [0, 1].
            words: (K, E) float of length 1.
            background_score: what a group must reach; None where there is no background.

        Returns:
            (K, h, w) float in [0, 1]; with a background (K + 1, h, w), the last being 1 where it is and 0 elsewhere.
        """
        groups, whole, maps = self._group(window)
        affinity = group_affinity(groups, whole, words, float(self.model.logit_scale.exp().clamp(max=100)))
        scores = affinity[maps.argmax(dim=0)].permute(2, 0, 1)  # (K, h, w)
        if background_score is None:
            return scores
        # where no group reaches it the best one's score counts, be it that no pixel is of that group
        empty = scores.amax(dim=0) < min(background_score, float(affinity.max()))
        return torch.cat([scores, empty[None].to(scores)])

    def _group(self, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Directions of groups (G, E) and of the window (E,), and how much of a group each pixel is, (G, h, w)."""
        vision = self.model.vision_model
        # the model's own call refuses sizes that it was not trained on
        patches = vision.embeddings(imagenet_pixels(window[None]), interpolate_pos_encoding=True)
        encoded = vision.encoder(patches, output_attentions=True, return_dict=True)
        hidden = vision.layernorm(encoded.last_hidden_state)[0]  # (G, D)
        groups = F.normalize(self.model.visual_projection(hidden), dim=-1)
        whole = F.normalize(self.model.visual_projection(hidden.mean(dim=0, keepdim=True)), dim=-1)[0]
        first, *others = encoded.attentions  # (1, groups, N), then groups of groups
        for attention in others:
            first = attention @ first
        grid = [side // self.sliding.patch for side in window.shape[-2:]]
        maps = F.interpolate(first.unflatten(2, grid), window.shape[-2:], mode='bilinear')
        return groups, whole, maps[0]


def group_affinity(groups: Tensor, whole: Tensor, words: Tensor, logit_scale: float) -> Tensor:
    """How much each group is of each class: the softmax over the image's likely classes times that over all.

    Args:
        groups: (G, E) float of length 1.
        whole: (E,) float of length 1, of the whole image.
        words: (K, E) float of length 1.
        logit_scale: factor of cosines.

    Returns:
        (G, K) in [0, 1]; 0 of the classes that are not among the likely ones.
    """
    logits = groups @ words.T * logit_scale
    likely = (words @ whole).topk(min(LIKELY, len(words))).indices
    kept = torch.zeros_like(logits)
    kept[:, likely] = logits[:, likely].softmax(dim=-1)
    return kept * logits.softmax(dim=-1)
