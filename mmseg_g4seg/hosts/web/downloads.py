"""What a user takes home: the mask, its scores, and a folder that repeats the run without the page."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat

import torch
from PIL import Image

from mmseg_g4seg import __version__
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.formats import SCORES, build_format
from mmseg_g4seg.io.label_files import png_bytes
from mmseg_g4seg.prediction import Prediction

from .run import KEY, Case, Outcome

NAME = Path(KEY).stem


@dataclass(frozen=True)
class Downloads:
    """Files of one run.

    Attributes:
        mask: PNG of class indices, in the classes' colours.
        scores: `.npz`, probabilities of the classes that matter.
        run: ZIP with all inputs, the config and the command.
    """

    mask: Path
    scores: Path
    run: Path


def write_downloads(outcome: Outcome, folder: Path, *, device: str = 'cpu') -> Downloads:
    """Writes the files of a run into a folder.

    Args:
        outcome: of the run.
        folder: that they go into.
        device: that it ran on.
    """
    classes = outcome.case.classes
    found = Downloads(folder / 'mask.png', folder / 'scores.npz', folder / 'run.zip')
    atomic_write(found.mask, build_format('palette-png', classes).encode(outcome.refined))
    atomic_write(found.scores, build_format('npz', classes).encode(outcome.refined))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in run_files(outcome.case, device).items():
            file.writestr(name, content)
    atomic_write(found.run, buffer.getvalue())
    return found


def run_files(case: Case, device: str) -> Mapping[str, bytes]:
    """The files that repeat a case on a device, by their names in the ZIP; `README.txt` has the command."""
    assert case.classes.palette is not None
    kind = 'npy' if case.mask.probs is not None else 'palette-png'
    mask = build_format(kind, case.classes)
    texts = {
        'refiner.py': f'refiner = {pformat(dict(case.config), sort_dicts=False, width=100)}\n',
        'classes.txt': '\n'.join(case.classes.labels) + '\n',
        'palette.txt': '\n'.join(' '.join(map(str, colour)) for colour in case.classes.palette) + '\n',
        'README.txt': f'mmseg_g4seg {__version__}. This repeats the mask, in refined/{NAME}.png:\n\n'
        f'{command(kind, device)}\n',
    }
    return {
        **{name: text.encode() for name, text in texts.items()},
        f'images/{KEY}': png_bytes(Image.fromarray(case.picture.pixels)),
        f'masks/{NAME}{mask.suffix}': mask.encode(_given(case)),
    }


def command(kind: str, device: str) -> str:
    """The command that repeats a run, in the folder of its files.

    Args:
        kind: format of the coarse mask.
        device: that the run was on: float16, as large priors are configured, is for GPUs.
    """
    grid = ' --any-size' if kind in SCORES else ''
    # the number of threads changes the last bits of a sum
    return (
        f'g4seg refine-masks images masks refined --refiner refiner.py --classes classes.txt --palette palette.txt '
        f'--format {kind} --out-format palette-png{grid} --threads {torch.get_num_threads()} --device {device}'
    )


def _given(case: Case) -> Prediction:
    """The coarse mask as it was given, before it was brought to the picture's grid."""
    probs, labels = case.mask.probs, case.mask.label_map
    if probs is not None:
        return Prediction(probs, probs.argmax(dim=0))
    assert labels is not None
    return Prediction(torch.zeros(len(case.classes), *labels.shape), labels)
