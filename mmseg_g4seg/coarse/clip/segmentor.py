"""Segments by comparing CLIP's patches with words: SCLIP, MaskCLIP, NACLIP, ClearCLIP, ProxyCLIP.

Shapes: B windows, E embedding channels, V words (all synonyms), C classes, H W image size, h w a window's, h' w' patch
grid.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from mmseg_g4seg.coarse.base import CoarseSource, check_images, share_out
from mmseg_g4seg.coarse.sliding import Sliding, slide
from mmseg_g4seg.coarse.words import WordEncoder
from mmseg_g4seg.features.clip import load_open_clip
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction, synonyms
from mmseg_g4seg.registry import NUMBER, build, expect_option, parts_of, register

from .base import ClipMethod, compare_patches
from .scores import class_scores, drop_small_classes
from .vision import check_vision_transformer, patch_size

PAMR_DILATIONS = (8, 16)
"""SCLIP's and NACLIP's."""


@register
class ClipSegmentor(CoarseSource):
    """Compares each patch with the words of all classes. It need not be told which classes an image shows.

    Examples:
        >>> source = load_source('sclip')
        >>> mask = source(image, ['background', ('cat', 'kitten'), 'dog'])
    """

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Callable[[list[str]], Tensor],
        method: 'str | Mapping[str, Any] | ClipMethod' = 'sclip',
        templates: Sequence[str] | None = None,
        image_scale: tuple[int, int] | None = None,
        window: "tuple[int, int] | Literal['whole'] | None" = None,
        logit_scale: float | None = None,
        background_score: float = 0.0,
        area_threshold: float | None = None,
        pamr_iterations: int | None = None,
    ) -> None:
        """Args:
            model: an `open_clip` model.
            tokenizer: its tokenizer, texts in, ids out.
            method: how the last block attends: `sclip`, `maskclip`, `naclip`, `clearclip`, `proxyclip`, `vanilla`; or
                `dict(type='NACLIP', deviation=5.0)`; or a built one.
            templates: prompts, `{name}` standing for a word; the 80 of OpenAI's ImageNet experiments when not given.
            image_scale: longer and shorter side that images are resized to fit into, as mmseg's `Resize` takes it; the
                method's own when not given, as for all below.
            window: side and stride of the windows that an image is read in, pixels; `whole` for none.
            logit_scale: factor of cosines before the softmax over words.
            background_score: a pixel where no class reaches it is background, where the classes have one; its own
                words may score more. 0 leaves it to its words.
            area_threshold: classes that cover at most this share of an image's foreground are left out of it.
            pamr_iterations: of a finish of the cosines by PAMR; 0 for none.

        Raises:
            ValueError: if a number is out of range, or the model is no vision transformer of open_clip's.
        """
        check_vision_transformer(model.visual)
        self.method = build_method(method)
        shown = self.method.window if window is None else window
        if isinstance(shown, str):
            expect_option('window', shown, str, "side and stride, or 'whole'", holds=lambda v: v == 'whole')
            shown = None
        self.sliding = Sliding(image_scale or self.method.image_scale, shown, patch_size(model.visual))
        self.logit_scale = self.method.logit_scale if logit_scale is None else logit_scale
        expect_option('logit_scale', self.logit_scale, NUMBER, 'a number above 0', holds=lambda v: v > 0)
        for name, share in (('background_score', background_score), ('area_threshold', area_threshold or 0.0)):
            expect_option(name, share, NUMBER, 'a number in [0, 1)', holds=lambda v: 0 <= v < 1)
        self.background_score, self.area_threshold = background_score, area_threshold
        self.pamr_iterations = self.method.pamr_iterations if pamr_iterations is None else pamr_iterations
        expect_option('pamr_iterations', self.pamr_iterations, int, 'a count', holds=lambda v: v >= 0)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.words = tokenizer, WordEncoder(self.encode_texts, templates)

    @classmethod
    def from_config(
        cls,
        model: str = 'ViT-B-16-quickgelu',
        pretrained: str = 'openai',
        *,
        method: 'str | Mapping[str, Any] | ClipMethod' = 'sclip',
        templates: Sequence[str] | None = None,
        image_scale: tuple[int, int] | None = None,
        window: "tuple[int, int] | Literal['whole'] | None" = None,
        logit_scale: float | None = None,
        background_score: float = 0.0,
        area_threshold: float | None = None,
        pamr_iterations: int | None = None,
    ) -> 'ClipSegmentor':
        """Loads a model, and its tokenizer with it.

        Args:
            model: its open_clip name, such as `ViT-L-14-quickgelu`; `local-dir:FOLDER` or `hf-hub:ID`.
            pretrained: open_clip's tag, or the path of a weights file; not read of a folder or a hub id.
            method: as the constructor, like all below.
            templates: likewise.
            image_scale: likewise.
            window: likewise.
            logit_scale: likewise.
            background_score: likewise.
            area_threshold: likewise.
            pamr_iterations: likewise.

        Raises:
            ImportError: if open_clip is missing.
            ValueError: if the weights were trained with another activation than the model has; or as the constructor.
            RuntimeError: if there are no weights, which open_clip would leave random.
        """
        method = build_method(method)
        built = load_open_clip(model, pretrained)
        import open_clip  # after the loader, which says how to install it

        return cls(
            built,
            tokenizer=open_clip.get_tokenizer(model),
            method=method,
            templates=templates,
            image_scale=image_scale,
            window=window,
            logit_scale=logit_scale,
            background_score=background_score,
            area_threshold=area_threshold,
            pamr_iterations=pamr_iterations,
        )

    @classmethod
    def methods(cls) -> dict[str, dict[str, Any]]:
        names = [method.name for method in parts_of(ClipMethod)]
        return {name: {'type': cls.__name__, 'method': name} for name in names}

    def to(self, device: torch.device | str) -> 'ClipSegmentor':
        """Moves the models to a device, in place."""
        self.model.to(device)
        self.method.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return self.model.visual.conv1.weight.device

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
        names = [synonyms(name) for name in classes]
        words = self.words([word for own in names for word in own]).to(self.device)  # (V, E)
        owners = [c for c, own in enumerate(names) for _ in own]
        # one after the other: a batch that changed the sums of a matrix product would change labels with it
        return [self._predict(image, classes, words, owners) for image in images]

    def encode_texts(self, texts: list[str]) -> Tensor:
        """N prompts -> (N, E) float, not of length 1."""
        return self.model.encode_text(self.tokenizer(texts).to(self.device))

    def cosines(self, image: Tensor, words: Tensor) -> Tensor:
        """What an image is like: (3, H, W) float RGB in [0, 1] and (V, E) of length 1 -> (V, H, W) in [-1, 1].

        Of a method that `gives_probs` probabilities, in any proportion.
        """

        def score(windows: Tensor) -> Tensor:
            return compare_patches(self.model.visual, windows, words, self.method)  # (B, V, h', w')

        cosines = slide(image, self.sliding, score)
        if not self.pamr_iterations:
            return cosines
        return pixel_adaptive_average(image, cosines, PAMR_DILATIONS, self.pamr_iterations)

    def _predict(self, image: Tensor, classes: ClassList, words: Tensor, owners: Sequence[int]) -> Prediction:
        cosines = self.cosines(image.to(words), words)
        scale = None if self.method.gives_probs else self.logit_scale
        scores = class_scores(cosines, owners, len(classes), scale)
        if self.area_threshold is not None:
            scores = drop_small_classes(scores, classes.background, self.area_threshold)
        if classes.background is not None:
            # raised, not replaced: labels by a threshold alone would ignore what the background's own words score
            scores[classes.background].clamp_(min=self.background_score)
        return share_out(scores.to(image.device), classes)


def build_method(method: 'str | Mapping[str, Any] | ClipMethod') -> ClipMethod:
    """A method by its name or config; a built one passes through.

    Raises:
        ValueError: if there is none of that name, or an option is not known.
    """
    if isinstance(method, str):
        known = {part.name: part.__name__ for part in parts_of(ClipMethod)}
        if method not in known:
            raise ValueError(f'method: expected one of {sorted(known)}, got {method!r}')
        method = {'type': known[method]}
    return build(method, ClipMethod, where='source.method')
