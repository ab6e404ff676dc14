"""Where the images of a training lie, and which of them are held out for the validation losses."""

from dataclasses import dataclass
from pathlib import Path

from mmseg_g4seg.io.class_files import read_classes

from .images import TrainingImages, load_training_images

VALIDATION_EVERY = 25
"""One image in so many is held out for the validation losses."""


@dataclass(frozen=True)
class TrainingData:
    """Images, what is known of them, and others for the validation losses.

    Attributes:
        images: folder of images.
        classes: file of class names, one a line.
        labels: folder of label maps; or
        tags: JSON file of tags.
        validation_images: folder of other images for the validation losses; every 25th of `images` is held out
            for them when not given. Neighbours in a video are no others.
        validation_labels: its label maps; the tags name its images, too, where there are none.
    """

    images: Path
    classes: Path
    labels: Path | None = None
    tags: Path | None = None
    validation_images: Path | None = None
    validation_labels: Path | None = None

    def __post_init__(self) -> None:
        if self.validation_images is None and self.validation_labels is not None:
            raise ValueError('validation_labels: expected validation_images beside them, got none')
        if self.validation_images is not None and self.validation_labels is None and self.tags is None:
            raise ValueError('validation_images: expected validation_labels or tags beside them, got neither')

    def class_names(self) -> list[str]:
        """The lines of `classes`, empty ones left out, as the refiner will read them."""
        return read_classes(str(self.classes)).labels


def load_data(
    data: TrainingData, *, size: tuple[int, int], views: int = 1, light: float = 0.0, seed: int = 0
) -> tuple[TrainingImages, TrainingImages]:
    """Images to train on, and others for the validation losses; see `load_training_images` for the options.

    Raises:
        ValueError: if there is nothing to hold out, or an image for the validation losses is trained on.
    """
    classes, labels = data.class_names(), data.validation_labels
    training = load_training_images(
        data.images, classes, size=size, labels=data.labels, tags=data.tags, views=views, light=light, seed=seed
    )
    if data.validation_images is None:
        return split_validation(training, views)
    tags = None if labels else data.tags
    validation = load_training_images(data.validation_images, classes, size=size, labels=labels, tags=tags)
    # by what they show: a copy of a folder has other paths, and its losses would look better than they are
    trained_on = {image.numpy().tobytes() for image in training.images[::views]}
    common = sum(image.numpy().tobytes() in trained_on for image in validation.images)
    if common:
        raise ValueError(
            f'validation_images: expected other images than in {data.images}, got {common} of {len(validation)} that '
            'are trained on'
        )
    return training, validation


def split_validation(data: TrainingImages, views: int) -> tuple[TrainingImages, TrainingImages]:
    """Holds out every 25th image, all its views from training, its whole view for validation.

    Raises:
        ValueError: if there is one image alone.
    """
    count = len(data) // views
    if count < 2:
        raise ValueError('images: expected two at least, one to hold out, or validation_images, got one')
    held_out = set(range(VALIDATION_EVERY - 1, count, VALIDATION_EVERY)) or {count - 1}
    training = [i for i in range(len(data)) if i // views not in held_out]
    return data.subset(training), data.subset([i * views for i in sorted(held_out)])
