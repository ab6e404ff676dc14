"""Pictures of images and their labels, to look at before a run.

Shapes: H W image size; pictures (H, W, 3) uint8 RGB.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_g4seg.evaluation.panels import Legend, compose
from mmseg_g4seg.hosts.mmseg.datasets.label_rules import LabelRules
from mmseg_g4seg.hosts.mmseg.datasets.pairs import Info
from mmseg_g4seg.hosts.mmseg.datasets.settings import class_names
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.images import rgb_pixels
from mmseg_g4seg.io.label_files import png_bytes

from .examiner import Findings
from .label_statistics import UNREADABLE

FOLDER, SHEET = 'overlays', 'contact_sheet.png'
FILE_NAME = re.compile(r'\d\d+_.*\.png')
IGNORED, UNEXPECTED = (0, 0, 0), (255, 0, 255)
OPACITY = 0.5
COLUMNS = ('image', 'overlay', 'labels')


@dataclass
class Overlay:
    """One image: its name, the three panels (H, W, 3) and (name, colour) of the classes in it, largest first."""

    name: str
    panels: tuple[np.ndarray, np.ndarray, np.ndarray]
    legend: Legend


def remove_pictures(out: Path) -> None:
    """Removes what an earlier check drew, and nothing else."""
    (out / SHEET).unlink(missing_ok=True)
    if (out / FOLDER).is_dir():
        for path in (out / FOLDER).iterdir():
            if FILE_NAME.fullmatch(path.name):
                path.unlink()


def draw_pairs(found: Findings, out: Path, *, images: int, seed: int) -> tuple[list[str], list[str]]:
    """Draws random pairs that can be read.

    Args:
        found: by an examination that read the labels; nothing is drawn where a class has no colour.
        out: folder of the pictures.
        images: how many pairs.
        seed: of their choice.

    Returns:
        What was written into `out`, and what could not be read, in words.
    """
    if found.dataset is None or found.labels is None:
        return [], []
    palette = found.dataset.metainfo.get('palette') or []
    names, pairs, rules = class_names(found.dataset), found.readable, found.labels.rules
    drawn: dict[int, Overlay] = {}
    problems = []
    for i in random.Random(seed).sample(range(len(pairs)), len(pairs)):
        if len(drawn) >= images or len(palette) < rules.num_classes:
            break
        try:
            drawn[i] = draw_overlay(pairs[i], rules, names, palette)
        except UNREADABLE as error:  # of the image, of which only the header was read before
            problems.append(f'{pairs[i]["img_path"]}: {error}')
    if not drawn:
        return [], problems
    overlays = [drawn[i] for i in sorted(drawn)]
    (out / FOLDER).mkdir(exist_ok=True)
    for i, overlay in enumerate(overlays):
        row = Image.fromarray(np.concatenate(overlay.panels, axis=1))
        atomic_write(out / FOLDER / f'{i:02d}_{Path(overlay.name).stem}.png', png_bytes(row))
    rows = [(overlay.name, [Image.fromarray(panel) for panel in overlay.panels]) for overlay in overlays]
    sheet = compose(COLUMNS, rows, legends=[overlay.legend for overlay in overlays])
    atomic_write(out / SHEET, png_bytes(sheet))
    return [FOLDER, SHEET], problems


def draw_overlay(info: Info, rules: LabelRules, classes: Sequence[str], palette: Sequence[Sequence[int]]) -> Overlay:
    """Paints labels over an image: image, both, labels.

    Ignored pixels are black in the labels and left alone over the image; ids that do not belong are magenta.

    Args:
        info: `img_path` and `seg_map_path`; labels of another size are stretched.
        rules: from raw ids to classes.
        classes: names.
        palette: RGB of each class, [0, 255].
    """
    with Image.open(info['img_path']) as picture:
        image = rgb_pixels(picture)
    with Image.open(info['seg_map_path']) as label_image:
        raw = np.asarray(label_image.resize(image.shape[1::-1], Image.Resampling.NEAREST)).astype(np.int64)
    belongs = (raw >= 0) & (raw < 256)
    belongs &= rules.allowed[raw.clip(0, 255)]
    labels = rules.table[raw.clip(0, 255)].astype(np.int64)  # (H, W)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    painted = np.where(belongs[..., None], colours[labels], UNEXPECTED).astype(np.uint8)
    ignored = belongs & (labels >= rules.num_classes)
    painted[ignored] = IGNORED
    blended = (image * (1 - OPACITY) + painted * OPACITY).round().astype(np.uint8)
    blended[ignored] = image[ignored]
    legend = _legend(np.where(belongs & ~ignored, labels, -1), classes, palette)
    return Overlay(Path(info['img_path']).name, (image, blended, painted), legend)


def _legend(labels: np.ndarray, classes: Sequence[str], palette: Sequence[Sequence[int]]) -> Legend:
    pixels = np.bincount(labels[labels >= 0].ravel(), minlength=len(classes))
    order = [i for i in np.argsort(-pixels, kind='stable').tolist() if pixels[i]]
    return [(f'{classes[i]} {100 * pixels[i] / labels.size:.0f} %', tuple(palette[i])) for i in order]
