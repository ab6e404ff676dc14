"""Small folders of images and masks, and the tool that refines them."""

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.io.formats import Reading, build_format
from mmseg_g4seg.prediction import ClassList, Prediction
from tests.conftest import ROOT, random_case
from tests.hosts.folder.timeless import timeless_bytes

SCRIPT = ROOT / 'tools' / 'refine_masks.py'
CLASSES = ClassList(['background', 'cat', 'dog', 'tree'])
PAMR: dict[str, Any] = dict(type='PAMRRefiner', iterations=1, dilations=[1])
CONFIG = f'refiner = {PAMR!r}\n'
SIZE = (24, 32)


def random_prediction(seed: int = 0, classes: int = len(CLASSES), size: tuple[int, int] = SIZE) -> Prediction:
    return random_case(*size, classes=classes, seed=seed)[1]


def random_pixels(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def write_pair(root: Path, name: str, mask_format: str, *, seed: int = 0, suffix: str = '.png') -> tuple[Path, Path]:
    """Writes an image and its mask below `root`, and says where."""
    mask_file = build_format(mask_format, CLASSES if mask_format != 'binary-png' else ClassList(['background', 'cat']))
    image, mask = root / 'images' / f'{name}{suffix}', root / 'masks' / f'{name}{mask_file.suffix}'
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_pixels(seed)).save(image)
    mask.write_bytes(mask_file.encode(random_prediction(seed, len(mask_file.classes))))
    return image, mask


def make_task(root: Path, *, count: int = 3, input_format: str = 'index-png', **options: Any) -> FolderTask:
    """A folder of `count` images and masks, and how to refine it into `root / 'out'`."""
    for i in range(count):
        write_pair(root, f'image_{i}', input_format, seed=i)
    given = dict(refiner=PAMR, classes=CLASSES, reading=Reading(input_format), out=root / 'out')
    return FolderTask(root / 'images', root / 'masks', **{**given, **options})


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, hidden ones and those of folders in it, too; less the seconds that a clock took."""
    files = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path.relative_to(folder)): timeless_bytes(path.read_bytes()) for path in files}


def labels_of(path: Path) -> np.ndarray:
    """(H, W) int64 of a label file."""
    return np.array(Image.open(path)).astype(np.int64)


def write_labels(folder: Path, count: int = 3) -> list[np.ndarray]:
    """A truth that is not quite the mask, with ignored pixels."""
    folder.mkdir()
    truth = []
    for i in range(count):
        labels = random_prediction(i).label_map.numpy().astype(np.uint8)
        labels[:3] = np.roll(labels[:3], 2, axis=1)
        labels[-1] = 255
        Image.fromarray(labels).save(folder / f'image_{i}.png')
        truth.append(labels)
    return truth


def read_report(out: Path) -> dict:
    return json.loads((out / 'report.json').read_text())


def contents_of_a_fresh_run(task: FolderTask, out: Path) -> dict[str, bytes]:
    refine_folder(replace(task, out=out))
    return contents(out)


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`tools/refine_masks.py` in this process: arguments -> exit code."""
    spec = importlib.util.spec_from_file_location('refine_masks', SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments: Any) -> int:
        monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *map(str, arguments)])
        return module.run('refine-masks')

    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / 'refiner.py'
    path.write_text(CONFIG)
    return path
