"""PASCAL-Context: the 459-class `.mat` files as label maps of 59 classes and background.

The release (Mottaghi et al., CVPR 2014; `trainval.tar.gz`) has a file an image, `LabelMap` inside, and
`labels.txt` with a line `ID: NAME` a class. Results have mmseg's ids: 1 to 59 in the order of
`PascalContextDataset59`, 0 for all other classes, which is mmseg's `background` of 60 classes.

Shapes: H W image size.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from mmseg_g4seg.io.atomic import atomic_write

from .batch import Job, Summary, run_jobs

CLASSES = (
    'aeroplane', 'bag', 'bed', 'bedclothes', 'bench', 'bicycle', 'bird', 'boat', 'book', 'bottle', 'building', 'bus',
    'cabinet', 'car', 'cat', 'ceiling', 'chair', 'cloth', 'computer', 'cow', 'cup', 'curtain', 'dog', 'door', 'fence',
    'floor', 'flower', 'food', 'grass', 'ground', 'horse', 'keyboard', 'light', 'motorbike', 'mountain', 'mouse',
    'person', 'plate', 'platform', 'pottedplant', 'road', 'rock', 'sheep', 'shelves', 'sidewalk', 'sign', 'sky',
    'snow', 'sofa', 'table', 'track', 'train', 'tree', 'truck', 'tvmonitor', 'wall', 'water', 'window', 'wood',
)  # fmt: skip
OTHER_NAMES = {
    'aeroplane': ('airplane',),
    'motorbike': ('motorcycle',),
    'shelves': ('shelf',),
    'sofa': ('couch',),
    'table': ('diningtable',),
    'tvmonitor': ('tv', 'television'),
}
"""Taken where a list of names lacks the class's own; spaces, dashes and capitals never count."""

LISTS = ('train', 'val')


def convert_pascal_context(
    mats: Path, labels_file: Path, devkit: Path, *, workers: int = 1, overwrite: bool = False
) -> Summary:
    """Writes `SegmentationClassContext/NAME.png` and `ImageSets/SegmentationContext/{train,val}.txt`.

    The lists are those of `ImageSets/Main`: PASCAL-Context labels all of VOC 2010's train and val images.

    Args:
        mats: folder with `NAME.mat`.
        labels_file: `labels.txt` of the release.
        devkit: folder `VOCdevkit/VOC2010`.
        workers: processes.
        overwrite: convert anew what is there.

    Raises:
        FileNotFoundError: if a folder or a list is missing, or there is no `.mat` file.
        ValueError: if `labels.txt` lacks some of the 59 names.
        ImportError: if scipy is not installed.
    """
    import_check()
    table = class_table(read_labels_file(labels_file))
    if not mats.is_dir():
        raise FileNotFoundError(f'{mats} is missing: expected a folder of label files named NAME.mat')
    paths = sorted(mats.glob('*.mat'))
    if not paths:
        raise FileNotFoundError(f'{mats} has no file named NAME.mat')
    lists = {name: read_list(devkit / 'ImageSets/Main' / f'{name}.txt') for name in LISTS}
    out = devkit / 'SegmentationClassContext'
    jobs = [Job(path, out / f'{path.stem}.png', str(path)) for path in paths]
    convert = partial(convert_file, table=table)
    summary = run_jobs(jobs, convert, description='PASCAL-Context', workers=workers, overwrite=overwrite)
    summary.failures += write_lists(lists, out, devkit / 'ImageSets/SegmentationContext')
    return summary


def import_check() -> None:
    """Fails at once, and once, where scipy is missing."""
    try:
        import scipy.io  # noqa: F401
    except ImportError as error:
        raise ImportError("PASCAL-Context's .mat files need scipy: pip install 'mmseg_g4seg[mat]'") from error


def read_labels_file(path: Path) -> dict[str, int]:
    """Id of each name in `labels.txt`.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if a line is not `ID: NAME`.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: expected the release\'s labels.txt, "ID: NAME" a line')
    ids = {}
    for line in filter(str.strip, path.read_text().splitlines()):
        number, colon, name = line.partition(':')
        if not colon or not number.strip().isdigit() or not name.strip():
            raise ValueError(f'{path}: expected "ID: NAME" a line, got {line!r}')
        ids[_plain(name)] = int(number)
    return ids


def class_table(ids: Mapping[str, int]) -> np.ndarray:
    """Class id, 0 to 59, of each raw id below R: (R,) uint8.

    Raises:
        ValueError: if classes are missing; it names them.
    """
    table = np.zeros(max(ids.values(), default=0) + 1, np.uint8)
    missing = []
    for class_id, name in enumerate(CLASSES, 1):
        found = [ids[other] for other in (name, *OTHER_NAMES.get(name, ())) if other in ids]
        if found:
            table[found[0]] = class_id
        else:
            missing.append(name)
    if missing:
        raise ValueError(f"expected the 59 classes' names among the {len(ids)} of labels.txt; missing: {missing}")
    return table


def convert_file(path: Path, table: np.ndarray) -> np.ndarray:
    """Label map of one `.mat` file: (H, W) uint8, 0 to 59.

    Raises:
        ValueError: if it is damaged, has no `LabelMap`, or an id that `labels.txt` lacks.
    """
    raw = _read_label_map(path)
    if raw.ndim != 2 or raw.dtype.kind not in 'iu':
        raise ValueError(f'expected LabelMap of ids, (H, W), got {raw.dtype} {raw.shape}')
    outside = np.unique(raw[(raw < 0) | (raw >= len(table))])
    if outside.size:
        raise ValueError(f'label ids {outside.tolist()} do not belong; expected 0 to {len(table) - 1}')
    return table[raw]


def _read_label_map(path: Path) -> np.ndarray:
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=['LabelMap'])
    except OSError:
        raise
    except Exception as error:  # scipy raises whatever a damaged file breaks in it, IndexError among others
        raise ValueError(f'damaged, or no .mat file of version 5 to 7: {type(error).__name__}: {error}') from error
    if 'LabelMap' not in content:
        raise ValueError('expected the variable LabelMap, found none')
    return content['LabelMap']


def read_list(path: Path) -> list[str]:
    """Image names of one of VOC's lists."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: expected VOC 2010's list of image names")
    return path.read_text().split()


def write_lists(lists: Mapping[str, list[str]], labels: Path, out: Path) -> list[tuple[str, str]]:
    """Writes each list with the names that have a label map; returns what is missing as failures."""
    out.mkdir(parents=True, exist_ok=True)
    failures = []
    for name, stems in lists.items():
        there = [stem for stem in stems if (labels / f'{stem}.png').is_file()]
        atomic_write(out / f'{name}.txt', ''.join(f'{stem}\n' for stem in there))
        missing = sorted(set(stems) - set(there))
        if missing:
            failures.append(
                (f'{name}.txt', f'{len(missing)} of {len(stems)} images have no labels, {missing[0]} first')
            )
    return failures


def _plain(name: str) -> str:
    return ''.join(letter for letter in name.lower() if letter.isalnum())
