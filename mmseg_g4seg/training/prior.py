"""Trains a prior end to end: read the images, train the autoencoder, train the denoiser, save."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..files.whole import write_whole
from ..prompts import PromptTokenizer
from .architecture import PriorParts, build_prior
from .autoencoder import train_autoencoder
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
        seed: of the initial weights.
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
        ValueError: if the settings ask for label maps, or an image or label is not as expected.
    """
    if settings.doubt_weight and task.labels is None:
        raise ValueError('doubt_weight: expected labels, folder of label maps, got none')
    folder.mkdir(parents=True, exist_ok=True)
    classes = task.classes.read_text().split('\n')
    classes = [name for name in classes if name]
    training, validation = load_data(task, classes)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(task.seed)
        parts = build_prior(classes) if task.init is None else warm_start(task.init, classes)
    stage = folder / 'prior_with_autoencoder'
    if (stage / 'model_index.json').exists():
        parts = PriorParts.load(stage)
    elif task.vae_steps:
        train_autoencoder(parts.vae, training, validation, steps=task.vae_steps, folder=folder, device=settings.device)
        parts.save(stage)
    train_denoiser(parts, training, validation, settings, folder)
    parts.save(folder / 'prior', half=task.half)
    suited = json.dumps(refiner_settings(task, settings, training), indent=1)
    write_whole(folder / 'prior' / 'refiner.json', suited + '\n')
    return folder / 'prior'


def load_data(task: PriorTraining, classes: Sequence[str]) -> tuple[TrainingImages, TrainingImages]:
    """Images to train on, and others for the validation losses."""
    data = load_training_images(
        task.images, classes, size=task.size, labels=task.labels, tags=task.tags, views=task.views, light=task.light
    )
    if task.validation_images is None:
        return split_validation(data, task.views)
    labels = task.validation_labels
    tags = None if labels else task.tags
    return data, load_training_images(task.validation_images, classes, size=task.size, labels=labels, tags=tags)


def refiner_settings(task: PriorTraining, settings: DenoiserSettings, training: TrainingImages) -> dict[str, Any]:
    """What `load_refiner` takes for a prior: names and masks as in training, the rest as for photographs."""
    shown = sorted({c for present in training.present for c in present})
    return {
        'known_classes': [training.classes[c] for c in shown],
        'image_size': list(task.size),
        'cross_weight': settings.cross_weight,
        'self_weight': settings.self_weight,
        'features': {'type': 'denoiser'},
        'update': 'likelihood',
        'joint': True,
        'confidence_range': [0.2, 0.6],
        'likelihood_timesteps': [300, 400, 500],
        'likelihood_crops': 2,
        'likelihood_sharpness': 20.0,
        'likelihood_proportions': True,
        'likelihood_smoothing': [3, 9, 21],
        'candidate_threshold': 0.05,
        'min_area': 0.002,
        'passes_per_batch': 16,
    }


def warm_start(init: Path, classes: Sequence[str]) -> PriorParts:
    """Loads an earlier prior; its text side is kept only if a prompt of all the new classes fits.

    A tokenizer that never saw a name spells it out, and the prompts of crowded images grow too long.
    """
    parts, fresh = PriorParts.load(init), build_prior(classes)
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
