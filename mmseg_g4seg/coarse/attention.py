"""What the sources share that read a prior's attention: noised passes of a photograph, one prompt a class.

Shapes: C classes of the data set, K tokens of a class's names, H W image size, c latent channels, h w latent grid,
h' w' token grid of a level.
"""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps, recorded_attention
from mmseg_g4seg.diffusion.loading import as_prior
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.ops.masks import as_size, resize_maps
from mmseg_g4seg.ops.noise import image_noise, noise_key
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.ops.seeded_growth import min_max
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction

from .base import CoarseSource, check_images, share_out


class AttentionSource(CoarseSource):
    """Noises an image, and reads where each class's words are attended to while it is denoised.

    Every class gets a map that reaches 1 somewhere, whether it is in the image or not: give the classes of the image,
    with a background, rather than all that there are.
    """

    keep_heads: ClassVar[bool] = False
    """Whether the rule reads heads one by one."""

    def __init__(
        self,
        prior: 'DiffusionPrior | str | Path | dict[str, Any]',
        *,
        timesteps: Sequence[int] = (100,),
        image_size: int | Sequence[int] | None = None,
        prompt_template: str = 'a photo of {name}',
        background_score: float | Literal['rest'] = 0.5,
        levels: Sequence[int] | None = None,
        blocks: Sequence[int] | None = None,
        seed: int = 0,
        passes_per_batch: int | None = None,
    ) -> None:
        """Args:
            prior: the diffusion model; or its name, folder, hub id, or a dict of `load_prior`'s arguments.
            timesteps: of the noise, one pass each; the attention is averaged.
            image_size: side, or (height, width), that images are resized to; the side that the prior was trained on
                when not given.
            prompt_template: the prompt, `{name}` standing for the class's name.
            background_score: a pixel where no class reaches it is background, where the classes have one; in (0, 1).
                `rest` for 1 - the highest score of a class: what no map covers, which decides as 0.5 does, but softly.
            levels: latent cells a token, along each side, of the layers that are read; by the architecture when not
                given.
            blocks: of a transformer that are read; when not given the one at three eighths, which is layer 9 of SD 3's
                24, where words are placed best (Seg4Diff, arXiv 2509.18096).
            seed: of the noise; with an image's key it fixes every draw.
            passes_per_batch: classes that go through the denoiser at once, at most; as many as memory holds on a GPU,
                and 8 on a CPU, when not given.

        Raises:
            ValueError: if a number is out of range, or the prior lacks a level or a block, or has no attention to read.
        """
        self.timesteps, self.prompt_template, self.seed = list(timesteps), prompt_template, seed
        if not self.timesteps:
            raise ValueError('timesteps: expected at least one, got none')
        if prompt_template.count('{name}') != 1:
            raise ValueError(f"prompt_template: expected one '{{name}}' in it, got {prompt_template!r}")
        if background_score != 'rest' and not (isinstance(background_score, float) and 0 < background_score < 1):
            raise ValueError(
                f"background_score: expected a number between 0 and 1, or 'rest', got {background_score!r}"
            )
        self.background_score = background_score
        self.budget = MemoryBudget(passes_per_batch)
        # last, since it may be gigabytes
        self.prior = as_prior(prior)
        self.image_size = as_size(self.prior.trained_image_size if image_size is None else image_size)
        self.prior.check_image_size(self.image_size)
        for timestep in self.timesteps:
            self.prior.check_timestep(timestep)
        layers = readable_layers(self.prior, blocks)
        self.cross_layers, self.self_layers, self.levels = self.choose(layers, levels)

    @abstractmethod
    def choose(
        self, layers: Sequence[AttentionLayer], levels: Sequence[int] | None
    ) -> tuple[list[AttentionLayer], list[AttentionLayer], list[int]]:
        """Layers whose attention to text, and to the image, is read, and the levels, coarsest first.

        Args:
            layers: of the prior.
            levels: that the user asks for; the rule's own when None.

        Raises:
            ValueError: if the prior lacks a level.
        """

    @abstractmethod
    def map_of(self, maps: AttentionMaps, image_index: int, tokens: Tensor) -> Tensor:
        """The rule: where a class is.

        Args:
            maps: what was recorded.
            image_index: in the batch that was recorded.
            tokens: (K,) int64, places of the class's names in the prompt.

        Returns:
            (h', w') float32, in units of its own.
        """

    def empty_maps(self, latent_grid: Sequence[int]) -> AttentionMaps:
        """What records the attention that the rule reads, on a latent grid (h, w)."""
        return AttentionMaps(
            latent_grid, cross_layers=self.cross_layers, self_layers=self.self_layers, keep_heads=self.keep_heads
        )

    def encode_prompts(self, prompts: Sequence[Sequence[ClassName]]) -> EncodedPrompts:
        """Encodes P prompts, each naming the classes listed."""
        return self.prior.encode_prompts(prompts, self.prompt_template)

    def finish(self, probs: Tensor, image: Tensor) -> Tensor:
        """Brings a map to the image's grid and to [0, 1]: (h', w') with the (3, H, W) image -> (H, W)."""
        return min_max(resize_maps(probs, image.shape[-2:]))

    def to(self, device: torch.device | str) -> 'AttentionSource':
        """Moves the prior to a device, in place."""
        self.prior.to(device)
        return self

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
        keys = check_images(images, keys)
        self.check(classes)
        predictions = [self._predict(image, classes, key) for image, key in zip(images, keys, strict=True)]
        self.prior.check_finite()
        return predictions

    def check(self, classes: ClassList) -> None:
        # a name that no prompt holds; prompts are kept for the pictures
        if named := self._named(classes):
            self.encode_prompts([[classes[c]] for c in named])

    def _named(self, classes: ClassList) -> list[int]:
        """Indices of the classes that are looked for."""
        return [c for c in range(len(classes)) if c != classes.background and classes.knows(c)]

    def _predict(self, image: Tensor, classes: ClassList, key: Key) -> Prediction:
        named = self._named(classes)
        own = image.to(self.prior.device, torch.float32)
        latents = self.prior.encode_images(resize_maps(own, self.image_size).clamp(0, 1)[None])
        noise = image_noise(latents.shape[1:], seed=self.seed, key=noise_key(key)).to(latents)

        def read(batch: Sequence[int]) -> list[Tensor]:
            return [self.finish(m, own) for m in self._maps(latents, noise, [classes[c] for c in batch])]

        probs = own.new_zeros(len(classes), *own.shape[-2:])
        for c, scores in zip(named, self.budget.run(read, named, self.prior.device), strict=True):
            probs[c] = scores
        return decide(probs.to(image.device), classes, self.background_score)

    def _maps(self, latents: Tensor, noise: Tensor, names: Sequence[ClassName]) -> list[Tensor]:
        """One (h', w') map a name, from (1, c, h, w) latents and (c, h, w) noise."""
        prompts = self.encode_prompts([[name] for name in names])
        maps = self.empty_maps(latents.shape[-2:])
        with recorded_attention(maps):
            for timestep in self.timesteps:
                noisy = self.prior.add_noise(latents, noise, timestep)
                self.prior.denoise(noisy.expand(len(names), -1, -1, -1), timestep, prompts)
        tokens = [masks[0].nonzero()[:, 0] for masks in prompts.token_masks]
        return [self.map_of(maps, i, own) for i, own in enumerate(tokens)]


def readable_layers(prior: DiffusionPrior, blocks: Sequence[int] | None) -> list[AttentionLayer]:
    """The attention layers of a U-Net; of a transformer those of some blocks that see text and image.

    Args:
        prior: the diffusion model.
        blocks: of a transformer, see `AttentionSource`.

    Raises:
        ValueError: if the prior has none, or lacks a block.
    """
    layers = [layer for layer in prior.attention_layers if layer.part != 'transformer' or layer.kind == 'joint']
    if not any(layer.reads_text for layer in layers) or not any(layer.reads_image for layer in layers):
        raise ValueError(f'prior: expected attention to text and to the image, {type(prior).__name__} lacks one')
    if layers[0].part != 'transformer':
        if blocks is not None:
            raise ValueError(f'blocks: a U-Net is read by levels, expected None, got {list(blocks)}')
        return layers
    known = [layer.block for layer in layers]
    for block in blocks or ():
        if block not in known:
            raise ValueError(f'blocks: this prior has {known[0]} to {known[-1]}, got {block}')
    chosen = [known[3 * len(known) // 8]] if blocks is None else blocks
    return [layer for layer in layers if layer.block in chosen]


def choose_levels(layers: Sequence[AttentionLayer], levels: Sequence[int] | None, what: str) -> list[int]:
    """Levels to read, coarsest first: all that some layers have, or those asked for.

    Args:
        layers: that count.
        levels: asked for; a transformer also has multiples of its one level.
        what: the layers are, for the message.

    Raises:
        ValueError: if there is no such level.
    """
    known = sorted({layer.level for layer in layers}, reverse=True)
    if levels is None:
        return known
    for level in levels:
        if level not in known and not (layers[0].part == 'transformer' and level > 0 and level % known[0] == 0):
            raise ValueError(f'levels: this prior has {what} at {known} latent cells a token, got {level}')
    return sorted(set(levels), reverse=True)


def decide(probs: Tensor, classes: ClassList, background_score: float | Literal['rest']) -> Prediction:
    """Makes a prediction of one map a class, and a score of the background; a pixel's scores sum to 1.

    Args:
        probs: (C, H, W) float in [0, 1].
        classes: whose background, if there is one, gets the score.
        background_score: a constant, or `rest` for 1 - the highest of the others.

    Returns:
        Where no class has a score, and there is no background, all are as probable.
    """
    if classes.background is not None:
        probs[classes.background] = 0.0
        rest = 1 - probs.amax(dim=0)
        probs[classes.background] = rest if background_score == 'rest' else background_score
    return share_out(probs, classes)
