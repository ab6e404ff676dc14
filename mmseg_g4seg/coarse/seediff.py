"""SeeDiff (AAAI 2025, arXiv 2507.19808): seeds from cross-attention, grown through multi-scale self-attention.

Shapes: M layers, K tokens of a class's names, H W image size, h' w' token grid of the finest level.

The formulas are in `ops.seeded_growth`. A class of several tokens has a map each layer and token.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.ops.seeded_growth import background_mask, min_max, otsu_seeds, seeded_growth
from mmseg_g4seg.registry import expect_option, register

from .attention import AttentionSource, BackgroundScore
from .attention_levels import choose_levels

VARIANCE_FLOOR = 1e-4 / 64
"""SeeDiff's floor is of sums over 8 heads; here heads are averaged, whatever their number."""

PARTS = ('up', 'middle', 'down', 'transformer')
"""The order in which layers are preferred: the decoder's know more of the image."""

MASK_THRESHOLD, PAMR_WIDTH = 0.3, 0.2
"""What PAMR starts from is above the threshold; its kernel is twice as wide as its authors'."""


@register
class SeeDiff(AttentionSource):
    """Grows seeds at the coarsest level, and cleans the result against its background at each finer one.

    Examples:
        >>> source = SeeDiff('tiny')
        >>> coarse = source.predict(image, ['background', 'sky', 'tree'])
    """

    backgrounds: ClassVar[tuple[str, ...]] = ('rest', 'mask')

    def __init__(
        self,
        prior: 'DiffusionPrior | str | Path | dict[str, Any]',
        *,
        timesteps: Sequence[int] = (100,),
        image_size: int | Sequence[int] | None = None,
        prompt_template: str = 'a photo of {name}',
        background_score: BackgroundScore | None = None,
        levels: Sequence[int] | None = None,
        blocks: Sequence[int] | None = None,
        pamr_iterations: int = 0,
        seed: int = 0,
        passes_per_batch: int | None = None,
    ) -> None:
        """Args:
            prior: see `AttentionSource`, as for all that is not said here.
            timesteps: likewise.
            image_size: likewise.
            prompt_template: likewise.
            background_score: likewise; SeeDiff's when not given: 0.5, or 0.8 after PAMR. `mask` for its background
                mask, grown from what the class's map leaves; of several classes what all of them leave. PAMR does not
                finish it.
            levels: those of self-attention; when not given all that there is outside the middle block, and of a
                transformer once, twice and four times its own.
            blocks: likewise.
            pamr_iterations: of a finish by PAMR, which SeeDiff repeats thousands of times; 0 for none.
            seed: likewise.
            passes_per_batch: likewise.

        Raises:
            ValueError: as `AttentionSource`.
        """
        self.pamr_iterations: int = expect_option(
            'pamr_iterations', pamr_iterations, int, 'an integer of at least 0', holds=lambda n: n >= 0
        )
        if background_score is None:
            background_score = 0.8 if pamr_iterations else 0.5
        super().__init__(
            prior,
            timesteps=timesteps,
            image_size=image_size,
            prompt_template=prompt_template,
            background_score=background_score,
            levels=levels,
            blocks=blocks,
            seed=seed,
            passes_per_batch=passes_per_batch,
        )
        maps = self.empty_maps([side // self.prior.latent_stride for side in self.image_size])
        rows = [maps.grid(level)[0] for level in self.levels]
        if len({*rows}) < len(rows):
            raise ValueError(f'image_size: {self.image_size} gives levels of {rows} rows, which must differ')

    def choose(
        self, layers: Sequence[AttentionLayer], levels: Sequence[int] | None
    ) -> tuple[list[AttentionLayer], list[AttentionLayer], list[int]]:
        ordered = sorted(layers, key=lambda layer: PARTS.index(layer.part))
        if layers[0].part == 'transformer':
            own = layers[0].level
            wanted = (own, 2 * own, 4 * own) if levels is None else levels
            return ordered, ordered, choose_levels(layers, wanted, 'attention')
        looking = [layer for layer in ordered if layer.reads_image]
        # SD 1.5's middle block alone has 8 x 8 tokens: too few for seeds
        chosen = choose_levels([layer for layer in looking if layer.part != 'middle'], levels, 'self-attention')
        cross = [layer for layer in ordered if layer.reads_text and layer.level == chosen[0]]
        if not cross:
            raise ValueError(f'levels: this prior has no cross-attention at {chosen[0]} latent cells a token')
        first = [next(layer for layer in looking if layer.level == level) for level in chosen]
        return cross, first, chosen

    def map_of(self, maps: AttentionMaps, image_index: int, tokens: Tensor) -> Tensor:
        cross = maps.cross(self.levels[0], image_index)[:, tokens]  # (M, K, h', w')
        attention = {maps.grid(level)[0]: maps.self_attention(level, image_index) for level in self.levels}
        return seeded_growth(cross.flatten(0, 1), attention, VARIANCE_FLOOR)

    def finish(self, probs: Tensor, image: Tensor) -> Tensor:
        size = (image.shape[-2], image.shape[-1])
        full = min_max(F.interpolate(probs[None, None], size, mode='bicubic')[0, 0])
        if not self.pamr_iterations:
            return full
        mask = (full > MASK_THRESHOLD).float()[None]
        return min_max(pixel_adaptive_average(image * 255, mask, (1,), self.pamr_iterations, std_factor=PAMR_WIDTH)[0])

    def background_of(self, maps: AttentionMaps, image_index: int, found: Tensor, probs: Tensor) -> Tensor:
        if self.background_score != 'mask':
            return super().background_of(maps, image_index, found, probs)
        grown = background_mask(found, maps.self_attention(self.levels[-1], image_index))  # (h', w')
        # without seeds all is background, and so it is told nowhere; nor where all tokens attend alike
        if not otsu_seeds(found).any() or not grown.any():
            return 1 - probs
        return F.interpolate(grown[None, None], (probs.shape[-2], probs.shape[-1]), mode='bicubic')[0, 0].clamp(0, 1)
