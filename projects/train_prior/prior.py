"""Trains a prior end to end: read the images, train the autoencoder, train the denoiser, save."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer
from mmseg_g4seg.io.atomic import atomic_write
from projects.begun import check_begun

from .architecture import TEXT_LENGTH, WIDTHS, PriorParts, build_prior
from .autoencoder import train_autoencoder
from .data import TrainingData, load_data
from .denoiser import DenoiserSettings
from .denoiser_training import train_denoiser
from .doubts import DoubtSettings
from .images import TrainingImages


@dataclass(frozen=True)
class PriorTraining:
    """What a prior is trained on, and what it starts from.

    Attributes:
        data: where the images and what is known of them lie.
        size: (H, W) of training, multiples of 16 (the autoencoder's 4 times two halvings).
        views: views of each image, and
        light: how much their light varies, see `load_training_images`.
        init: prior to warm up from; None builds a new one.
        vae_steps: steps of the autoencoder; 0 keeps that of `init`.
        half: store the result in float16.
        seed: of the initial weights, the crops, and every draw of the training.
        widths: channels of the U-Net's three levels; one of other widths than that of `init` is new, the rest is kept.
    """

    data: TrainingData
    size: tuple[int, int] = (128, 128)
    views: int = 1
    light: float = 0.0
    init: Path | None = None
    vae_steps: int = 2000
    half: bool = False
    seed: int = 0
    widths: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.widths is not None and (len(self.widths) != 3 or any(w < 16 or w % 16 for w in self.widths)):
            raise ValueError(f'widths: expected three multiples of 16, got {self.widths}')
        if any(side % 16 for side in self.size):
            raise ValueError(f'size: expected multiples of 16, got {self.size}')
        if self.init is None and self.vae_steps == 0:
            raise ValueError('vae_steps = 0 keeps the autoencoder of an earlier prior: expected init, got none')


def train_prior(task: PriorTraining, settings: DenoiserSettings, folder: Path) -> Path:
    """Trains (or goes on training) a prior, and returns its folder, `folder/prior`.

    Raises:
        ValueError: if the settings ask for label maps, an image or label is not as expected, or a training was
            begun in the folder with other options.
    """
    if settings.doubts.weight and task.data.labels is None:
        raise ValueError('doubt_weight: expected labels, folder of label maps, got none')
    folder.mkdir(parents=True, exist_ok=True)
    classes = task.data.class_names()
    training, validation = load_data(task.data, size=task.size, views=task.views, light=task.light, seed=task.seed)
    check_begun(folder / 'options.json', begun_options(task, settings, classes))
    length = text_length(classes, [*training.present, *validation.present])
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(task.seed)
        parts = starting_parts(task, classes, length)
    stage = folder / 'prior_with_autoencoder'
    if (stage / 'model_index.json').exists():
        parts = PriorParts.load(stage)
    elif task.vae_steps:
        train_autoencoder(
            parts.vae,
            training,
            validation,
            steps=task.vae_steps,
            folder=folder,
            device=settings.device,
            seed=task.seed,
        )
        parts.save(stage)
    train_denoiser(parts, training, validation, settings, folder, seed=task.seed)
    parts.save(folder / 'prior', half=task.half)
    suited = json.dumps(refiner_settings(task, settings, training), indent=1)
    atomic_write(folder / 'prior' / 'refiner.json', suited + '\n')
    return folder / 'prior'


def starting_parts(task: PriorTraining, classes: Sequence[str], length: int) -> PriorParts:
    """A new prior for prompts of `length` tokens, or that of `task.init`, with a new U-Net where widths differ."""
    widths = task.widths or WIDTHS
    if task.init is None:
        return build_prior(classes, length, widths=widths)
    parts = warm_start(task.init, classes, length)
    if task.widths in (None, tuple(parts.unet.config.block_out_channels)):
        return parts
    return replace(parts, unet=build_prior(classes, length, widths=widths).unet)


def begun_options(task: PriorTraining, settings: DenoiserSettings, classes: Sequence[str]) -> dict[str, Any]:
    """What a training may not change on its way; its length, its device, and where its images lie it may."""
    of_task = {name: getattr(task, name) for name in ('size', 'views', 'light', 'vae_steps', 'seed')}
    names = ('batch_size', 'learning_rate', 'cross_weight', 'self_weight', 'shares')
    of_settings = {name: getattr(settings, name) for name in names}
    init, doubts = task.init and str(task.init), asdict(settings.doubts)
    # None where it is the default: trainings that began before there were such options go on
    share = doubts.pop('share')
    later = {'widths': task.widths, 'doubt_share': None if share == DoubtSettings.share else share}
    return {'classes': list(classes), 'init': init, **of_task, **of_settings, 'doubts': doubts, **later}


def text_length(classes: Sequence[str], present: Sequence[Sequence[int]]) -> int:
    """Tokens of the longest prompt that training writes: the classes of an image, and in doubts two more.

    A multiple of 8, at least `TEXT_LENGTH`.
    """
    tokenizer = build_tokenizer(classes)
    separated = [len(tokenizer(f', {name}', add_special_tokens=False).input_ids) for name in classes]
    around = len(tokenizer('a photo of').input_ids)
    most = max((sum(separated[c] for c in shown) for shown in present), default=0)
    longest = around + most + sum(sorted(separated)[-2:])
    return max(TEXT_LENGTH, -(-longest // 8) * 8)


def refiner_settings(task: PriorTraining, settings: DenoiserSettings, training: TrainingImages) -> dict[str, Any]:
    """What `load_refiner` takes for a prior: names and masks as in training, the rest as for photographs.

    A prior that learned to settle doubts is asked at half the sharpness of one that did not
    (projects/experiments/NOTEBOOK.md). The background is named: another data set may have another class in its place.
    """
    shown = sorted({c for present in training.present for c in present})
    unnamed = settings.doubts.background
    background = {} if unnamed is None else {'background': training.classes[unnamed]}
    return {
        'classes': {**background, 'known': [training.classes[c] for c in shown]},
        'image_size': list(task.size),
        'injection': {
            'type': 'MaskInjector',
            'cross_weight': settings.cross_weight,
            'self_weight': settings.self_weight,
        },
        'update': {
            'type': 'LikelihoodUpdate',
            'uncertain_below': 0.6,
            'timesteps': [300, 400, 500],
            'crops': 2,
            'sharpness': 20.0 if settings.doubts.weight else 40.0,
            'proportions': True,
            'smoothing': [3, 9, 21],
            'candidate_threshold': 0.05,
        },
        'min_area': 0.002,
        'passes_per_batch': 16,
    }


def warm_start(init: Path, classes: Sequence[str], length: int = TEXT_LENGTH) -> PriorParts:
    """Loads an earlier prior; its text side is kept only if a prompt of all the new classes fits.

    A new one takes prompts of so many tokens.

    A tokenizer that never saw a name spells it out, and the prompts of crowded images grow too long.
    """
    parts, fresh = PriorParts.load(init), build_prior(classes, length)
    try:
        PromptTokenizer(parts.tokenizer)([list(classes)])
    except ValueError:
        return replace(parts, tokenizer=fresh.tokenizer, text_encoder=fresh.text_encoder)
    return parts
