"""Segment Anything (Kirillov et al., ICCV 2023, arXiv 2304.02643; SAM 2, arXiv 2408.00714) as a refiner.

Shapes: H W image size, K masks of an image, N connected parts, S side of what the model reads, m side of its masks,
M masks of one answer (3).

The coarse mask prompts the model: every connected part is asked about by its box, a point inside and one outside, and
its mask, as SAMRefiner (Lin et al., ICLR 2025) does. Of the masks of an answer the one that agrees best with the part
is taken.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.weights.hub import find_variant, refuse_missing_weights, without_loading_bar
from mmseg_g4seg.ops.imagenet import imagenet_pixels
from mmseg_g4seg.prediction import Key
from mmseg_g4seg.registry import expect_option, register

from .base import BinaryMaskRefiner
from .sam_prompts import ModelFrame, PartPrompt, find_prompts

PROMPTS = ('box', 'points', 'mask')
MODELS = {'sam': 'SamModel', 'sam2': 'Sam2Model', 'sam2_video': 'Sam2Model'}
"""Classes of transformers by the `model_type` of a folder. SAM 2's releases are of its video model, which holds the
image model's weights."""


@register
class SAMRefiner(BinaryMaskRefiner):
    """Asks SAM or SAM 2 about each connected part of each class; the image is encoded once."""

    def __init__(
        self,
        model: Any,
        *,
        prompts: Sequence[str] = PROMPTS,
        prompts_per_batch: int = 16,
        min_part: float = 1e-4,
        min_area: float = 0.0,
    ) -> None:
        """Args:
            model: a transformers `SamModel` or `Sam2Model`.
            prompts: what a part is asked about by: some of `box`, `points`, `mask`.
            prompts_per_batch: parts that go through the mask decoder at once, at most.
            min_part: share of an image's pixels that a connected part needs; smaller ones stay as they are.
            min_area: see `BinaryMaskRefiner`.

        Raises:
            ValueError: if an option is out of range, or the model is another one.
        """
        super().__init__(min_area=min_area)
        if isinstance(prompts, str) or not prompts or not set(prompts) <= set(PROMPTS):
            raise ValueError(f'prompts: expected some of {list(PROMPTS)}, got {prompts!r}')
        self.prompts = tuple(prompts)
        self.prompts_per_batch = expect_option(
            'prompts_per_batch', prompts_per_batch, int, 'at least 1', holds=lambda n: n >= 1
        )
        self.min_part = expect_option(
            'min_part', min_part, (int, float), 'a share in [0, 1]', holds=lambda share: 0 <= share <= 1
        )
        kind = getattr(getattr(model, 'config', None), 'model_type', type(model).__name__)
        if kind not in MODELS:
            raise ValueError(f'model: expected one of the types {sorted(MODELS)}, got {kind!r}')
        self.keeps_ratio = kind == 'sam'
        self.name = 'SAM' if self.keeps_ratio else 'SAM 2'
        self.model = model.eval().requires_grad_(False)

    @classmethod
    def from_config(
        cls,
        model: str | Path,
        *,
        prompts: Sequence[str] = PROMPTS,
        prompts_per_batch: int = 16,
        min_part: float = 1e-4,
        min_area: float = 0.0,
    ) -> 'SAMRefiner':
        """Builds one as configs say it, by `load_sam`'s folder or hub id in place of the model."""
        return cls(
            load_sam(model),
            prompts=prompts,
            prompts_per_batch=prompts_per_batch,
            min_part=min_part,
            min_area=min_area,
        )

    def to(self, device: torch.device | str) -> 'SAMRefiner':
        self.model.to(device)
        return self

    def refine_mask(self, image: Tensor, mask: Tensor, key: Key) -> Tensor:
        return self.refine_masks(image, mask[None], [key])[0]

    @torch.no_grad()
    def refine_masks(self, image: Tensor, masks: Tensor, keys: Sequence[Key]) -> Tensor:
        settings = self.model.config.prompt_encoder_config
        frame = ModelFrame(
            size=(image.shape[1], image.shape[2]),
            side=settings.image_size,
            # the prompt encoder halves a mask twice to the grid of the image's embedding
            mask_side=4 * settings.image_size // settings.patch_size,
            keeps_ratio=self.keeps_ratio,
        )
        weights = next(self.model.parameters())
        # padded once it is normalised: 0 is the mean colour there, as the authors have it
        pixels = frame.place(imagenet_pixels(image.float())).to(weights)
        embeddings = self.model.get_image_embeddings(pixels[None])
        return torch.stack([self._refine_class(mask.to(weights.device), embeddings, frame) for mask in masks]).to(image)

    def _refine_class(self, mask: Tensor, embeddings: Any, frame: ModelFrame) -> Tensor:
        """One class's mask (H, W) bool -> probabilities (H, W) float32: in every pixel those of the surest part."""
        prompts = find_prompts(mask, least=self.min_part * mask.numel())
        left = mask.clone()
        claims = torch.zeros(mask.shape, device=mask.device)
        for start in range(0, len(prompts), self.prompts_per_batch):
            chunk = prompts[start : start + self.prompts_per_batch]
            for prompt, logits in zip(chunk, self._answer(chunk, embeddings, frame), strict=True):
                claims = torch.maximum(claims, _best(frame.restore(logits), prompt.part).sigmoid())
                left &= ~prompt.part
        # specks that were not asked about: without a claim they would go to the background, all of them
        return claims.masked_fill(left, 1.0)

    def _answer(self, prompts: list[PartPrompt], embeddings: Any, frame: ModelFrame) -> Tensor:
        """Logits of the masks of N parts: (N, M, m, m) float32."""
        weights = next(self.model.parameters())
        given = {}
        if 'box' in self.prompts:
            given['input_boxes'] = frame.boxes(prompts).to(weights)
        if 'points' in self.prompts:
            places, kinds = frame.points(prompts)
            given['input_points'], given['input_labels'] = places.to(weights), kinds.to(weights.device)
        if 'mask' in self.prompts:
            given['input_masks'] = frame.masks(prompts).to(weights)
        # an image a part: of several parts of one image the models would take a single mask prompt
        several = isinstance(embeddings, list)
        expanded = [e.expand(len(prompts), -1, -1, -1) for e in (embeddings if several else [embeddings])]
        answer = self.model(image_embeddings=expanded if several else expanded[0], multimask_output=True, **given)
        return answer.pred_masks[:, 0].float()


def _best(candidates: Tensor, part: Tensor) -> Tensor:
    """Of (M, H, W) logits those (H, W) whose mask has the highest IoU with a part (H, W) bool."""
    masks = candidates > 0
    common = (masks & part).flatten(1).sum(dim=1)
    union = (masks | part).flatten(1).sum(dim=1)
    return candidates[int((common / union).argmax())]


def load_sam(source: str | Path) -> Any:
    """Loads a `SamModel` or `Sam2Model`, by the kind that the source's config names.

    Args:
        source: folder in transformers' layout, or hub id, such as `facebook/sam-vit-base` or
            `facebook/sam2.1-hiera-small`.

    Raises:
        ImportError: if transformers is too old for SAM 2.
        OSError: if there is no such folder, or model on the hub.
        ValueError: if it is another model, or weights are missing, which transformers leaves random with a warning, or
            its config has less layers than the weights, which it leaves out.
    """
    import transformers

    place = str(Path(source).expanduser()) if Path(source).expanduser().is_dir() else str(source)
    kind = transformers.PretrainedConfig.get_config_dict(place)[0].get('model_type')
    if kind not in MODELS:
        raise ValueError(f'SAM {place!r}: expected a model of the types {sorted(MODELS)}, got {kind!r}')
    network = getattr(transformers, MODELS[kind], None)
    if network is None:
        raise ImportError(f'SAM 2 needs transformers 4.56 or newer, got {transformers.__version__}')
    with without_loading_bar('transformers') if Path(place).is_dir() else nullcontext():
        loaded: Any = network.from_pretrained(place, variant=find_variant(place), output_loading_info=True)
    model, info = loaded
    refuse_missing_weights(info, f'SAM {place!r}', model)
    return model
