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
from mmseg_g4seg.registry import expect_integers, expect_option

from .attention_levels import readable_layers
from .base import CoarseSource, check_images, share_out

BackgroundScore = float | Literal['rest', 'mask']


class AttentionSource(CoarseSource):
    """Noises an image, and reads where each class's words are attended to while it is denoised.

    Every class gets a map that reaches 1 somewhere, whether it is in the image or not: give the classes of the image,
    with a background, rather than all that there are.
    """

    keep_heads: ClassVar[bool] = False
    """Whether the rule reads heads one by one."""
    backgrounds: ClassVar[tuple[str, ...]] = ('rest',)
    """Scores of the background that the rule can compute, beside a constant."""

    def __init__(
        self,
        prior: 'DiffusionPrior | str | Path | dict[str, Any]',
        *,
        timesteps: Sequence[int] = (100,),
        image_size: int | Sequence[int] | None = None,
        prompt_template: str = 'a photo of {name}',
        background_score: BackgroundScore = 0.5,
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
        self.timesteps, self.seed = list(expect_integers('timesteps', timesteps, 'integers, one at least')), seed
        for name, listed in (('levels', levels), ('blocks', blocks)):
            if listed is not None:
                expect_integers(name, listed, 'integers, one at least')
        words = "a text with one '{name}' in it"
        self.prompt_template: str = expect_option(
            'prompt_template', prompt_template, str, words, holds=lambda text: text.count('{name}') == 1
        )
        constant = isinstance(background_score, float) and 0 < background_score < 1
        if not constant and background_score not in self.backgrounds:
            names = ' or '.join(map(repr, self.backgrounds))
            raise ValueError(
                f'background_score: expected a number between 0 and 1, or {names}, got {background_score!r}'
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

    def class_scores(
        self, maps: AttentionMaps, image_index: int, tokens: Tensor, image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Where a class is, and where it is not.

        Args:
            maps: see `map_of`, as for `image_index` and `tokens`.
            image_index: likewise.
            tokens: likewise.
            image: (3, H, W) float RGB in [0, 1].

        Returns:
            The class's scores, (H, W) float32 in [0, 1], and those of the background beside this class alone, see
            `background_of`.
        """
        found = self.map_of(maps, image_index, tokens)
        probs = self.finish(found, image)
        return probs, self.background_of(maps, image_index, found, probs)

    def background_of(self, maps: AttentionMaps, image_index: int, found: Tensor, probs: Tensor) -> Tensor:
        """Scores the background beside one class.

        Args:
            maps: see `map_of`, as for `image_index`.
            image_index: likewise.
            found: (h', w') float32, the class's map.
            probs: (H, W) float32 in [0, 1], the same finished.

        Returns:
            (H, W) float32 in [0, 1]; (1, 1) of a constant.
        """
        if isinstance(self.background_score, float):
            return probs.new_full((1, 1), self.background_score)
        return 1 - probs

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

        def read(batch: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
            return self._read(latents, noise, [classes[c] for c in batch], own)

        probs, background = own.new_zeros(len(classes), *own.shape[-2:]), own.new_ones(1, 1)
        for c, (scores, beside) in zip(named, self.budget.run(read, named, self.prior.device), strict=True):
            probs[c], background = scores, torch.minimum(background, beside)
        if classes.background is not None:
            probs[classes.background] = background
        return share_out(probs.to(image.device), classes)

    def _read(
        self, latents: Tensor, noise: Tensor, names: Sequence[ClassName], image: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """`class_scores` of each name, from (1, c, h, w) latents and (c, h, w) noise of the image (3, H, W)."""
        prompts = self.encode_prompts([[name] for name in names])
        maps = self.empty_maps(latents.shape[-2:])
        with recorded_attention(maps):
            for timestep in self.timesteps:
                noisy = self.prior.add_noise(latents, noise, timestep)
                self.prior.denoise(noisy.expand(len(names), -1, -1, -1), timestep, prompts)
        tokens = [masks[0].nonzero()[:, 0] for masks in prompts.token_masks]
        return [self.class_scores(maps, i, own, image) for i, own in enumerate(tokens)]
