"""Measures generated masks against a segmentor's labels of the same pictures, and draws them.

    python -m projects.experiments.generated data/generated CONFIG CHECKPOINT --out work_dirs/generated

Shapes: C classes, H W picture size. OUT/measured.json has the figures, OUT/sheet.png the first pictures: picture, mask
(white where unsure), what the segmentor sees.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from mmseg_g4seg.evaluation.areas import class_areas, class_iou
from mmseg_g4seg.evaluation.panels import compose
from mmseg_g4seg.evaluation.statistics import bootstrap_interval
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.prediction import IGNORE_INDEX

Labeller = Callable[[Path], Tensor]
"""A picture's file -> (H, W) int64 labels."""

COLUMNS = ('image', 'mask', 'segmentor')
SHARE_THERE = 0.005
"""Of a picture's pixels that the segmentor must give a class, for the picture to show it."""


def measure_pairs(folder: Path, label: Labeller, count: int | None = None) -> dict[str, Any]:
    """Compares masks with a segmentor's labels.

    Args:
        folder: of a data set that was generated.
        label: a picture's file -> (H, W) int64 labels of the same classes.
        count: of pictures; all when not given.

    Returns:
        `mIoU` of the masks where they are sure, over the classes that masks have, and its 95 % `interval` over
        pictures; `labelled`, the share of sure pixels; `shown`, the share of named classes that the segmentor finds in
        their picture, and `shown_by_chance` that of other classes that a prompt could name; all in per cent, and `IoU`
        by class. `alike` is the median correlation between the scores of two words of a prompt, in [-1, 1].
    """
    classes = read_classes(str(folder / 'classes.txt'))
    names = classes.labels
    records = [json.loads(line) for line in (folder / 'manifest.jsonl').read_text().splitlines()][:count]
    areas: list[Tensor] = []
    reader = build_format('npz', classes)
    sure: list[float] = []
    alike: list[float] = []
    shown: list[float] = []
    others: list[float] = []
    for record in tqdm(records, 'labelling'):
        mask, seen = read_index_png(folder / record['labels'], len(names)), label(folder / record['images'])
        labelled = mask != IGNORE_INDEX
        areas.append(class_areas(mask, torch.where(labelled, seen, IGNORE_INDEX), len(names)))
        sure.append(float(labelled.float().mean()))
        named = [names.index(name) for name in record['classes']]
        scores = reader.read(folder / record['scores']).planes(named).flatten(1)  # (K, H W)
        pairs = tuple(torch.triu_indices(len(scores), len(scores), 1))
        alike += scores.corrcoef()[pairs].tolist() if len(scores) > 1 else []
        there = torch.bincount(seen.flatten(), minlength=len(names)) >= SHARE_THERE * seen.numel()
        for c, name in enumerate(names):
            if c != classes.background:  # which no prompt can name, and which nearly every picture shows
                (shown if name in record['classes'] else others).append(float(there[c]))
    own = torch.stack(areas)  # (pictures, 3, C)
    iou, counted = class_iou(own.sum(dim=0)) * 100, torch.where(own[:, 1].sum(dim=0) > 0)[0].tolist()
    nothing = own.clone()
    nothing[:, :2] = 0  # masks that find no pixel: the gain over them, 0, is the mIoU itself
    compared = [value for value in alike if value == value]  # a constant map correlates with nothing
    return {
        'pictures': len(records),
        'mIoU': float(iou[counted].mean()),
        'interval': bootstrap_interval(nothing, own, counted),
        'labelled': 100 * float(np.mean(sure)),
        'shown': 100 * float(np.mean(shown)),
        'shown_by_chance': 100 * float(np.mean(others)),
        'alike': float(np.median(compared)) if compared else float('nan'),
        'IoU': {name: round(float(value), 2) for name, value in zip(names, iou, strict=True) if value == value},
    }


def draw_sheet(folder: Path, label: Labeller, palette: np.ndarray, count: int) -> Image.Image:
    """Draws the first pictures of a data set, with their masks and a segmentor's labels.

    Args:
        folder: of the data set.
        label: see `measure_pairs`, (H, W) int64.
        palette: (256, 3) uint8.
        count: of pictures.
    """
    rows = []
    for line in (folder / 'manifest.jsonl').read_text().splitlines()[:count]:
        record = json.loads(line)
        maps = [np.asarray(Image.open(folder / record['labels'])), label(folder / record['images']).numpy()]
        panels = [Image.open(folder / record['images']), *(Image.fromarray(palette[labels]) for labels in maps)]
        rows.append((f'{record["name"]}: {record["prompt"]}', panels))
    return compose(COLUMNS, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='of the generated data set')
    parser.add_argument('config', type=Path, help='of the segmentor')
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/generated'))
    parser.add_argument('--sheet', type=int, default=20, help='pictures that are drawn')
    args = parser.parse_args()
    config = Config.fromfile(args.config)
    model = init_model(config, str(args.checkpoint), device='cpu')

    def label(path: Path) -> Tensor:
        return inference_model(model, str(path)).pred_sem_seg.data[0].cpu()

    args.out.mkdir(parents=True, exist_ok=True)
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(config.metainfo.palette)] = config.metainfo.palette
    draw_sheet(args.folder, label, palette, args.sheet).save(args.out / 'sheet.png')
    measured = measure_pairs(args.folder, label)
    (args.out / 'measured.json').write_text(json.dumps(measured, indent=1) + '\n')
    print(json.dumps(measured, indent=1))


if __name__ == '__main__':
    main()
