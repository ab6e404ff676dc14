"""Pictures with masks from text: a prior draws, and the attention of its own passes says where each class is.

Shapes: C classes of the data set, K classes that a picture's prompt names, H W picture size, h' w' token grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.sampling import PictureSampler
from mmseg_g4seg.ops.noise import image_generator
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.prediction import ClassList, ClassName, Prediction
from mmseg_g4seg.registry import NUMBER, build, expect_option

from .attention import AttentionSource
from .base import share_out

MOST_WITHOUT_BACKGROUND = 512
"""Classes among which what no class takes is shared; among more, each share is lost in a sparse file's digits."""


@dataclass(frozen=True)
class Pair:
    """A picture and its mask.

    Attributes:
        name: of the picture; with the seed it fixes every draw.
        prompt: that it was drawn from.
        classes: K indices of the classes that the prompt names.
        image: (3, H, W) float32 RGB in [0, 1], in steps of 1/255.
        prediction: soft scores and labels; pixels of the unsure band have no label.
    """

    name: str
    prompt: str
    classes: tuple[int, ...]
    image: Tensor
    prediction: Prediction


class PairGenerator:
    """Draws pictures one at a time, so that each is the same to the last bit wherever it is drawn in a run."""

    def __init__(
        self,
        source: AttentionSource,
        classes: ClassList | Sequence[ClassName],
        *,
        objects: tuple[int, int] = (1, 1),
        steps: int | None = None,
        guidance_scale: float | None = None,
        unsure: float = 0.1,
        seed: int = 0,
    ) -> None:
        """Args:
            source: reads the attention; its prior draws, by its prompt template and image size. Its timesteps and seed
                are those of photographs, and do nothing here.
            classes: C classes. All but the background are named by prompts, each by its first name.
            objects: least and most classes in a prompt.
            steps: see `PictureSampler`.
            guidance_scale: likewise.
            unsure: a pixel has a label where its highest score leads the next one by this, in [0, 1); the background's
                score counts, also where it is none of the classes.
            seed: of all draws.

        Raises:
            ValueError: if a number is out of range, or a name does not fit into the prior's prompt.
        """
        self.source, self.classes, self.seed = source, ClassList.of(classes), seed
        self.named = [c for c in range(len(self.classes)) if c != self.classes.background and self.classes.knows(c)]
        within = f'least and most within 1 to {len(self.named)}, the classes that can be named'
        least, most = expect_option('objects', objects, (list, tuple), within, holds=lambda pair: len(pair) == 2)
        if not 1 <= least <= most <= len(self.named):
            raise ValueError(f'objects: expected {within}, got {objects}')
        if self.classes.background is None and len(self.classes) > MOST_WITHOUT_BACKGROUND:
            raise ValueError(f'classes: expected a background class among more than {MOST_WITHOUT_BACKGROUND}')
        self.objects = (least, most)
        self.unsure = expect_option('unsure', unsure, NUMBER, 'a number in [0, 1)', holds=lambda share: 0 <= share < 1)
        self.sampler = PictureSampler(
            source.prior, image_size=source.image_size, steps=steps, guidance_scale=guidance_scale
        )
        # now: the name that the tokenizer cuts away may be that of the last picture
        for c in self.named:
            source.encode_prompts([[self.classes.labels[c]]])

    def __call__(self, index: int) -> Pair:
        """Draws picture number `index`, which fixes its name and its classes."""
        name = picture_name(index)
        classes = draw_classes(self.named, self.objects, seed=self.seed, index=index)
        names = [self.classes.labels[c] for c in classes]
        image, scores, background = self._draw(names, name)
        prompt = self.source.prompt_template.replace('{name}', ', '.join(names))
        prediction = decide_pair(scores, background, classes, self.classes, self.unsure)
        return Pair(name, prompt, tuple(classes), image, prediction)

    @without_autocast()
    @torch.no_grad()
    def _draw(self, names: Sequence[str], key: str) -> tuple[Tensor, Tensor, Tensor]:
        """One picture (3, H, W), and scores in [0, 1], (K, H, W) and the background's (H, W); all on the CPU."""
        source, prior = self.source, self.source.prior
        prompts = source.encode_prompts([names])
        maps = source.empty_maps([side // prior.latent_stride for side in source.image_size])
        latents = self.sampler(prompts, keys=[key], seed=self.seed, maps=maps)
        # as it will be read back from 8 bits: PAMR should see the picture that the mask is stored beside
        image = (prior.decode_latents(latents)[0] * 255).round() / 255
        tokens = [mask.nonzero()[:, 0] for mask in prompts.token_masks[0, : len(names)]]
        scores, beside = zip(*(source.class_scores(maps, 0, own, image) for own in tokens), strict=True)
        prior.check_finite()
        background = torch.stack(beside).amin(dim=0).expand(image.shape[-2:])
        return image.cpu(), torch.stack(scores).cpu(), background.cpu()


def generate_pairs(
    prior: 'DiffusionPrior | str | Path | Mapping[str, Any]',
    classes: ClassList | Sequence[ClassName],
    count: int,
    *,
    source: Mapping[str, Any] | None = None,
    device: torch.device | str = 'cpu',
    **options: Any,
) -> Iterator[Pair]:
    """Draws pictures with masks.

    Args:
        prior: a built diffusion model; or its name, folder or hub id, or a dict of `load_prior`'s arguments.
        classes: C classes; the one called background is in no prompt.
        count: number of pictures.
        source: config of the source that reads the attention; default: `dict(type='SeeDiff')`.
        device: where the prior runs, such as `cuda`.
        options: of `PairGenerator`, such as `objects` and `seed`.

    Returns:
        An iterator of `Pair`s, image (3, H, W) each. Picture i is the same whatever the count.

    Raises:
        ValueError: as `PairGenerator` and the source, before the first picture.
    """
    if count < 0:
        raise ValueError(f'count: expected at least 0, got {count}')
    reader = build({'type': 'SeeDiff', **(source or {}), 'prior': prior}, AttentionSource, where='source').to(device)
    generator = PairGenerator(reader, classes, **options)
    return map(generator, range(count))


def picture_name(index: int) -> str:
    """Of a number: six digits, so that names sort by it."""
    return f'{index:06d}'


def draw_classes(named: Sequence[int], objects: tuple[int, int], *, seed: int, index: int) -> list[int]:
    """Chooses the classes of a picture: one in its turn, so that all occur alike, and others at random.

    Args:
        named: to choose from.
        objects: least and most of them.
        seed: of the choice.
        index: number of the picture.
    """
    turn, place = divmod(index, len(named))
    order = torch.randperm(len(named), generator=image_generator(seed=seed, key=f'turn {turn}'))
    first = named[int(order[place])]
    own = image_generator(seed=seed, key=f'classes of {index}')
    count = int(torch.randint(objects[0], objects[1] + 1, (1,), generator=own))
    others = [c for c in named if c != first]
    return [first, *(others[i] for i in torch.randperm(len(others), generator=own)[: count - 1].tolist())]


def decide_pair(
    scores: Tensor, background: Tensor, named: Sequence[int], classes: ClassList, unsure: float
) -> Prediction:
    """Makes the prediction of a picture whose classes are known.

    Args:
        scores: (K, H, W) float32 in [0, 1].
        background: (H, W) float32 in [0, 1], its scores.
        named: K indices of the classes.
        classes: C classes. Without a background, its scores are shared among all that are not named.
        unsure: see `PairGenerator`.

    Returns:
        (C, H, W) probabilities that sum to 1; (H, W) labels, `ignore_index` where the two highest scores are close,
        or where no class is as high as a background that is none of the classes.
    """
    probs = scores.new_zeros(len(classes), *scores.shape[-2:])
    best, second = torch.cat([scores, background[None]]).topk(2, dim=0).values  # of K + 1
    labelled = best - second >= unsure
    if classes.background is not None:
        probs[classes.background] = background
    else:
        labelled &= best > background
        probs += background / max(1, len(classes) - len(named))
    probs[list(named)] = scores
    prediction = share_out(probs, classes)
    return Prediction(prediction.probs, torch.where(labelled, prediction.label_map, classes.ignore_index))
