"""Second stage: the U-Net and the text encoder, on captions and, where labelled, injected masks."""

from functools import partial
from pathlib import Path

from .architecture import PriorParts
from .batches import LatentSet
from .denoiser import Denoiser, DenoiserSettings, validation_losses
from .images import TrainingImages
from .loop import drawing_processes, train
from .samples import save_samples


def train_denoiser(
    parts: PriorParts,
    training: TrainingImages,
    validation: TrainingImages,
    settings: DenoiserSettings,
    folder: Path,
    *,
    seed: int = 0,
) -> None:
    """Trains U-Net and text encoder in place; samples go to `folder/samples`."""
    vae = parts.vae.to(settings.device).eval()
    train_set = LatentSet(training, vae, settings.device)
    validation_set = LatentSet(validation, vae, settings.device)
    denoiser = Denoiser(parts, training.classes, settings)

    def report(step: int) -> dict[str, float]:
        save_samples(denoiser, parts, validation_set, folder / 'samples' / f'{step:06d}.png')
        return validation_losses(denoiser, validation_set)

    train(
        denoiser,
        denoiser.loss,
        draw=partial(denoiser.draw, train_set),
        workers=drawing_processes(settings.device),
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        folder=folder,
        name='denoiser',
        report=report,
        report_every=settings.reports.every,
        max_minutes=settings.max_minutes,
        seed=seed,
    )
