"""NightCity's label files, from Cityscapes' raw ids to the 19 training ids.

The release (Tan et al., Night-time Scene Parsing with a Large Real Dataset, TIP 2021) has
`NightCity-label/label/{train,val}/NAME_labelIds.png`. Wei et al. (Disentangle then Parse, ICCV 2023) found a
training file in its validation list; it is left out there.

Shapes: H W image size.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmseg_g4seg.hosts.mmseg.datasets.cityscapes_ids import IGNORE_INDEX, LABEL_MAP, NUM_CLASSES, TRAIN_IDS
from mmseg_g4seg.hosts.mmseg.datasets.label_rules import LabelRules
from mmseg_g4seg.hosts.mmseg.datasets.nightcity import STRAY_NAMES
from mmseg_g4seg.io.label_files import open_png

from .batch import Job, Summary, run_jobs

RAW_SUFFIX, TRAIN_SUFFIX = '_labelIds.png', '_trainIds.png'
RULES = LabelRules(NUM_CLASSES, label_map=LABEL_MAP)
NOT_RAW = (
    'training ids already (0 to 18, 255), expected raw ids (0 to 33): give the files of the release, '
    f"NAME{RAW_SUFFIX}, or use these as they are, with label_ids='trainIds'"
)


def convert_nightcity(
    labels: Path,
    out: Path,
    *,
    splits: tuple[str, ...] = ('train', 'val'),
    suffix: str = RAW_SUFFIX,
    workers: int = 1,
    overwrite: bool = False,
) -> Summary:
    """Writes `OUT/{train,val}/NAME_trainIds.png`.

    Args:
        labels: folder with a folder a split.
        out: folder of the results, in the same layout.
        splits: folders to convert.
        suffix: of the label files.
        workers: processes.
        overwrite: convert anew what is there.

    Raises:
        FileNotFoundError: if a split's folder is missing, or has no file of that suffix.
        ValueError: if a split has training ids already, by its files' names or ids; nothing is written then.
    """
    jobs = [job for split in splits for job in _split_jobs(labels / split, out / split, split, suffix)]
    return run_jobs(jobs, convert_file, description='NightCity', workers=workers, overwrite=overwrite)


def convert_file(path: Path) -> np.ndarray:
    """Training ids of one label file: (H, W) uint8, 0 to 18 and 255.

    Raises:
        ValueError: if an id is not one of Cityscapes' 0 to 33, or 255, or 255 occurs, but none above 18: a licence
            plate without a car, and what training ids look like.
    """
    raw = np.asarray(open_png(path))
    labels = RULES.apply(raw)
    found = set(np.unique(raw).tolist())
    if IGNORE_INDEX in found and found <= TRAIN_IDS:
        raise ValueError(f'label ids {sorted(found)} are {NOT_RAW}')
    return labels


def _split_jobs(folder: Path, out: Path, split: str, suffix: str) -> list[Job]:
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is missing: expected a folder of label files named NAME{suffix}')
    # not in folders below: some releases carry other versions of the labels there
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(suffix))
    if not paths:
        raise FileNotFoundError(f'{folder} has no file named NAME{suffix}; say how they end with --suffix')
    _refuse_training_ids(paths)
    names = [path.name.removesuffix(suffix) for path in paths]
    strays = STRAY_NAMES.get(split, ())
    return [
        Job(path, out / (name + TRAIN_SUFFIX), str(path))
        for path, name in zip(paths, names, strict=True)
        if name not in strays
    ]


def _refuse_training_ids(paths: Sequence[Path]) -> None:
    """Stops at files that say so, and where no file has a raw id that tells: in most the first one has."""
    named = next((path for path in paths if 'trainids' in path.name.lower()), None)
    if named is not None:
        raise ValueError(f'{named}: the name says {NOT_RAW}')
    found: set[int] = set()
    for path in paths:
        found |= _ids(path)
        if found - TRAIN_IDS:
            return
    if found:
        raise ValueError(f'{paths[0]}, the first of {len(paths)} files: label ids {sorted(found)} are {NOT_RAW}')


def _ids(path: Path) -> set[int]:
    """The ids in a file; none where it is damaged or painted, which its conversion says."""
    try:
        raw = np.asarray(open_png(path))
    except (OSError, ValueError):
        return set()
    return set(np.unique(raw).tolist()) if raw.ndim == 2 else set()
