"""Trains a prior end to end: read the images, train the autoencoder, train the denoiser, save."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer
from mmseg_g4seg.io.atomic import atomic_write

from .architecture import TEXT_LENGTH, PriorParts, build_prior
from .autoencoder import train_autoencoder
from .begun import check_begun
from .denoiser import DenoiserSettings
from .denoiser_training import train_denoiser
from .images import TrainingImages, load_training_images

VALIDATION_EVERY = 25
"""One image in so many is held out for the validation losses."""


@dataclass(frozen=True)
class PriorTraining:
    """What a prior is trained on, and what it starts from.

    Attributes:
        images: folder of images.
        classes: file of class names, one a line.
        labels: folder of label maps; or
        tags: JSON file of tags.
        validation_images: folder of other images for the validation losses; every 25th of `images` is held out
            for them when not given. Neighbours in a video are no others.
        validation_labels: its label maps; the tags name its images, too, where there are none.
        size: (H, W) of training, multiples of 16 (the autoencoder's 4 times two halvings).
        views: views of each image, and
        light: how much their light varies, see `load_training_images`.
        init: prior to warm up from; None builds a new one.
        vae_steps: steps of the autoencoder; 0 keeps that of `init`.
        half: store the result in float16.
        seed: of the initial weights, the crops, and every draw of the training.
    """

    images: Path
    classes: Path
    labels: Path | None = None
    tags: Path | None = None
    validation_images: Path | None = None
    validation_labels: Path | None = None
    size: tuple[int, int] = (128, 128)
    views: int = 1
    light: float = 0.0
    init: Path | None = None
    vae_steps: int = 2000
    half: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if any(side % 16 for side in self.size):
            raise ValueError(f'size: expected multiples of 16, got {self.size}')
        if self.validation_images is None and self.validation_labels is not None:
            raise ValueError('validation_labels: expected validation_images beside them, got none')
        if self.validation_images is not None and self.validation_labels is None and self.tags is None:
            raise ValueError('validation_images: expected validation_labels or tags beside them, got neither')
        if self.init is None and self.vae_steps == 0:
            raise ValueError('vae_steps = 0 keeps the autoencoder of an earlier prior: expected init, got none')


def train_prior(task: PriorTraining, settings: DenoiserSettings, folder: Path) -> Path:
    """Trains (or goes on training) a prior, and returns its folder, `folder/prior`.

    Raises:
        ValueError: if the settings ask for label maps, an image or label is not as expected, or a training was
            begun in the folder with other options.
    """
    if settings.doubt_weight and task.labels is None:
        raise ValueError('doubt_weight: expected labels, folder of label maps, got none')
    folder.mkdir(parents=True, exist_ok=True)
    classes = task.classes.read_text().split('\n')
    classes = [name for name in classes if name]
    training, validation = load_data(task, classes)
    check_begun(folder, begun_options(task, settings, classes))
    length = text_length(classes, [*training.present, *validation.present])
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(task.seed)
        parts = build_prior(classes, length) if task.init is None else warm_start(task.init, classes, length)
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


def load_data(task: PriorTraining, classes: Sequence[str]) -> tuple[TrainingImages, TrainingImages]:
    """Images to train on, and others for the validation losses."""
    data = load_training_images(
        task.images,
        classes,
        size=task.size,
        labels=task.labels,
        tags=task.tags,
        views=task.views,
        light=task.light,
        seed=task.seed,
    )
    if task.validation_images is None:
        return split_validation(data, task.views)
    labels = task.validation_labels
    tags = None if labels else task.tags
    return data, load_training_images(task.validation_images, classes, size=task.size, labels=labels, tags=tags)


def begun_options(task: PriorTraining, settings: DenoiserSettings, classes: Sequence[str]) -> dict[str, Any]:
    """What a training may not change on its way; its length, its device, and where its images lie it may."""
    of_task = {name: getattr(task, name) for name in ('size', 'views', 'light', 'vae_steps', 'seed')}
    of_settings = {
        name: getattr(settings, name)
        for name in (
            'batch_size',
            'learning_rate',
            'cross_weight',
            'self_weight',
            'shares',
            'doubt_weight',
            'rivals',
            'background',
        )
    }
    return {'classes': list(classes), 'init': task.init and str(task.init), **of_task, **of_settings}


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
    background = {} if settings.background is None else {'background': training.classes[settings.background]}
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
            'sharpness': 20.0 if settings.doubt_weight else 40.0,
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


def split_validation(data: TrainingImages, views: int) -> tuple[TrainingImages, TrainingImages]:
    """Holds out every 25th image, all its views from training, its whole view for validation."""
    count = len(data) // views
    held_out = set(range(VALIDATION_EVERY - 1, count, VALIDATION_EVERY)) or {count - 1}
    training = [i for i in range(len(data)) if i // views not in held_out]
    return data.subset(training or range(len(data))), data.subset([i * views for i in sorted(held_out)])
