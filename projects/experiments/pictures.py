"""Pictures of a run: the images that it gained most on, and those that it lost most on.

Shapes: H W image size; panels (H, W, 3) uint8 RGB.
"""

import numpy as np
from PIL import Image
from torch import Tensor

from mmseg_g4seg.evaluation.areas import mean_iou
from mmseg_g4seg.evaluation.panels import compose
from mmseg_g4seg.evaluation.records import MASKS, ImageRecord
from mmseg_g4seg.io.images import to_pixels
from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.refiners.base import Refiner

from .plan import ImageSet
from .run import ImageCase, read_case

COLUMNS = ('image', 'coarse', 'refined', 'truth', 'put right, made wrong')
RIGHT, WRONG, OTHER = (40, 170, 70), (215, 40, 40), (120, 120, 220)
"""Pixels that changed: to the true class, from the true class, and from one wrong class to another."""


def draw_extremes(refiner: Refiner, image_set: ImageSet, results: dict[str, ImageRecord], count: int) -> Image.Image:
    """Draws a row an image, the best gains first, then the worst losses.

    Args:
        refiner: of the run.
        image_set: of the run.
        results: of the run, by image.
        count: of images of each kind, at most.

    Returns:
        A sheet of pictures.
    """
    changes = {name: _change(record) for name, record in results.items()}
    ranked = sorted(changes, key=lambda name: changes[name][1] - changes[name][0])
    best = [name for name in ranked[::-1] if changes[name][1] > changes[name][0]][:count]
    worst = [name for name in ranked if changes[name][1] < changes[name][0]][:count]
    rows = []
    for name in [*best, *worst]:
        before, after = changes[name]
        case = read_case(name, image_set)
        caption = f'{case.key}: mean IoU {before:.1f} to {after:.1f}'
        rows.append((caption, _panels(case, refiner, image_set)))
    return compose(COLUMNS, rows)


def _change(record: ImageRecord) -> tuple[float, float]:
    """Mean IoU over an image's own classes before and after, per cent."""
    assert record.areas is not None
    before, after = (mean_iou(record.areas[stage, MASKS]).item() * 100 for stage in (0, -1))
    return before, after


def _panels(case: ImageCase, refiner: Refiner, image_set: ImageSet) -> list[Image.Image]:
    classes, palette = image_set.reader().classes.with_options(refiner.class_options), voc_palette()
    refined = refiner.refine(case.image, case.coarse, classes, key=case.key).label_map
    pixels = to_pixels(case.image)
    maps = [palette[labels.cpu().numpy().clip(0, 255)] for labels in (case.coarse.label_map, refined)]
    truth = np.where((case.truth == 255)[..., None].numpy(), 255, palette[case.truth.numpy().clip(0, 255)])
    changes = paint_changes(pixels, case.coarse.label_map, refined, case.truth)
    return [Image.fromarray(panel.astype(np.uint8)) for panel in (pixels, *maps, truth, changes)]


def paint_changes(pixels: np.ndarray, before: Tensor, after: Tensor, truth: Tensor) -> np.ndarray:
    """Paints the pixels that changed over a pale grey image.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        before: (H, W) int64 labels.
        after: (H, W) int64 labels.
        truth: (H, W) int64 labels, 255 = ignore.

    Returns:
        (H, W, 3) uint8: `RIGHT` where the true class came, `WRONG` where it went, `OTHER` elsewhere.
    """
    grey = np.repeat(pixels.mean(axis=-1, keepdims=True) * 0.5 + 127, 3, axis=-1).astype(np.uint8)
    old, new, true = (labels.cpu().numpy() for labels in (before, after, truth))
    changed = (old != new) & (true != 255)
    for where, colour in ((changed, OTHER), (changed & (new == true), RIGHT), (changed & (old == true), WRONG)):
        grey[where] = colour
    return grey
