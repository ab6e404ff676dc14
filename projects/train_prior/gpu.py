"""Trains the street and the animal prior side by side on one GPU: python -m projects.train_prior.gpu OUT DATA.

Each learns to denoise and to settle doubts at once, in a process of its own. OUT gets NAME.log and NAME.tar: the prior
in half precision, its losses and its last pictures, in parts below 16 MB. --init takes a folder that such tars were
unpacked in (cat NAME.tar* | tar -x -C FOLDER), and goes on from its priors.
"""

import argparse
import io
import multiprocessing
import os
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from mmseg_g4seg.io.atomic import atomic_write

from .data import TrainingData
from .denoiser import DenoiserSettings, Reports
from .doubts import DoubtSettings
from .prior import PriorTraining, train_prior

LARGEST_PART = 16_000_000
WIDTHS = (48, 96, 144)
"""7.6 M parameters, all parts together: two such priors in half precision and the embedded one are 44 MB."""
GRACE_MINUTES = 2.5
"""What reading the images, the autoencoder and packing may take beside the training."""


@dataclass(frozen=True)
class Kind:
    """Images of one kind, and how a prior of them is trained; `shape` is width by height."""

    folder: str
    shape: float
    views: int
    light: float
    background: int | None


KINDS = {'street': Kind('camvid', 1.25, 8, 1.0, None), 'animals': Kind('voc_animals', 1.0, 3, 0.0, 0)}


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder for what is kept')
    parser.add_argument('data', type=Path, help='folder with camvid and voc_animals')
    parser.add_argument('--folder', type=Path, default=Path('work_dirs/gpu_priors'), help='of the trainings')
    parser.add_argument('--init', type=Path, help='folder with street and animals to go on from')
    parser.add_argument('--minutes', type=float, default=5.0, help='of U-Net and text encoder')
    parser.add_argument('--side', type=int, default=256, help='height of the images, pixels')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--doubt-weight', type=float, default=0.2, help='0 trains to denoise alone')
    parser.add_argument('--doubt-share', type=float, default=0.5, help='of each batch')
    parser.add_argument('--steps', type=int, default=100_000, help='if the minutes hold so many')
    parser.add_argument('--device', default='cuda')
    return parser.parse_args(arguments)


def task_and_settings(name: str, args: argparse.Namespace) -> tuple[PriorTraining, DenoiserSettings]:
    """What the training of one kind consists of."""
    kind = KINDS[name]
    folder = args.data / kind.folder
    data = TrainingData(folder / 'images/train', folder / 'classes.txt', folder / 'labels/train')
    init = EMBEDDED_PRIORS['tiny'] if args.init is None else args.init / name / 'prior'
    small = args.steps < 100
    task = PriorTraining(
        data,
        size=(args.side, -(-int(args.side * kind.shape) // 16) * 16),
        views=1 if small else kind.views,
        light=kind.light,
        init=init,
        vae_steps=min(args.steps, 500) if args.init is None else 0,
        half=True,
        widths=WIDTHS,
    )
    settings = DenoiserSettings(
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=8e-4 if args.init is None else 4e-4,
        cross_weight=3.0,
        doubts=DoubtSettings(args.doubt_weight, 0.6, kind.background, share=args.doubt_share),
        reports=Reports(every=1000, draws=2, sampling_steps=2) if small else Reports(every=1000),
        max_minutes=args.minutes,
        device=args.device,
    )
    return task, settings


def train_and_pack(name: str, args: argparse.Namespace) -> None:
    """Trains one prior and packs it; what it prints goes to OUT/NAME.log."""
    with (args.out / f'{name}.log').open('w', buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        # the sizes never change: the first steps try which convolutions are fastest
        torch.backends.cudnn.benchmark = True
        train_prior(*task_and_settings(name, args), args.folder / name)
        pack(name, args.folder / name, args.out)


def pack(name: str, folder: Path, out: Path) -> None:
    """Writes prior, logs and last pictures of a training to `out/NAME.tar`, cut where it exceeds `LARGEST_PART`."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode='w') as tar:
        tar.add(folder / 'prior', f'{name}/prior')
        for path in [*sorted(folder.glob('*_log.csv')), *sorted((folder / 'samples').glob('*'))[-1:]]:
            tar.add(path, f'{name}/{path.name}')
    content = memory.getvalue()
    starts = range(0, len(content), LARGEST_PART)
    for i, start in enumerate(starts):
        suffix = f'.{i}' if len(starts) > 1 else ''
        atomic_write(out / f'{name}.tar{suffix}', content[start : start + LARGEST_PART])


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    # forked before CUDA begins: what is imported is there, and one that fails leaves the other alone
    fork = multiprocessing.get_context('fork')
    trainings = {name: fork.Process(target=train_and_pack, args=(name, args)) for name in KINDS}
    for training in trainings.values():
        training.start()
    failed = []
    for name, training in trainings.items():
        training.join(60 * (args.minutes + GRACE_MINUTES))
        if training.exitcode != 0:
            training.kill()
            failed.append(name)
            print(f'{name}: no prior ({"too slow" if training.exitcode is None else "failed"}), see {name}.log')
    return len(failed)


if __name__ == '__main__':
    sys.exit(main())
