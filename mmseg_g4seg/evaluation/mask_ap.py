"""Mask AP that can be drawn anew over images: COCO's matching by pycocotools, its averaging over weighted images.

Shapes: C classes, N predicted and M true masks of an image, T IoU thresholds, D detections of a class in all images,
H W image size.

Source:
    COCO's evaluation, `COCOeval.accumulate`: 101 recalls, precision made monotonous from the right.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

RECALLS = np.linspace(0, 1, 101)
THRESHOLDS = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True)
class Masks:
    """Masks of one image.

    Attributes:
        masks: (N, H, W) bool.
        classes: (N,) int64 in [0, C).
        scores: (N,) float; None in a truth.
        crowd: (N,) bool, regions of a truth that are no object of their own; None for none.
    """

    masks: Tensor
    classes: Tensor
    scores: Tensor | None = None
    crowd: Tensor | None = None


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """How the masks of one class in one image were matched.

    Attributes:
        scores: (D,) float64.
        matched: (T, D) bool, a true mask was found.
        ignored: (T, D) bool, neither right nor wrong: matched to a crowd.
        count: true masks that count.
    """

    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    count: int


def match_masks(predicted: Masks, truth: Masks) -> dict[int, ClassMatches]:
    """Matches the masks of one image, by class; classes that neither has are left out.

    Raises:
        ImportError: if pycocotools is missing.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ImportError("mask AP needs pycocotools: pip install 'mmseg_g4seg[coco]'") from error
    classes = sorted({*predicted.classes.tolist(), *truth.classes.tolist()})
    found, expected = COCO(), COCO()
    for dataset, masks in ((found, predicted), (expected, truth)):
        categories = [{'id': c} for c in classes]
        height, width = masks.masks.shape[1:]
        images = [{'id': 0, 'height': height, 'width': width}]
        dataset.dataset = {'images': images, 'categories': categories, 'annotations': _annotations(masks)}
    # it prints a line for every image
    with contextlib.redirect_stdout(io.StringIO()):
        found.createIndex()
        expected.createIndex()
        evaluation = COCOeval(expected, found, 'segm')
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ['all']
        evaluation.evaluate()
    entries = {entry['category_id']: entry for entry in evaluation.evalImgs if entry is not None}
    return {
        c: ClassMatches(
            np.array(entry['dtScores'], float),
            np.array(entry['dtMatches'] > 0),
            np.array(entry['dtIgnore'], bool),
            int((np.array(entry['gtIgnore']) == 0).sum()),
        )
        for c, entry in entries.items()
    }


def _annotations(masks: Masks) -> list[dict]:
    from pycocotools import mask as rle

    scores = [1.0] * len(masks.classes) if masks.scores is None else masks.scores.tolist()
    crowds = [False] * len(masks.classes) if masks.crowd is None else masks.crowd.tolist()
    encoded = [rle.encode(np.asfortranarray(m)) for m in masks.masks.cpu().numpy().astype(np.uint8)]
    return [
        # ids from 1: a match with id 0 would read as none
        dict(id=i, image_id=0, category_id=c, segmentation=e, area=float(rle.area(e)), iscrowd=int(crowd), score=score)
        for i, (c, e, crowd, score) in enumerate(
            zip(masks.classes.tolist(), encoded, crowds, scores, strict=True), start=1
        )
    ]


def average_precision(images: Sequence[ClassMatches | None], weights: np.ndarray) -> np.ndarray:
    """AP of one class, each image counted as often as its weight says.

    Args:
        images: one an image; None where the class does not occur.
        weights: (R, images) float, R resamples.

    Returns:
        (R, T) float64 in [0, 1], NaN where no true mask is drawn.
    """
    present = [(i, own) for i, own in enumerate(images) if own is not None]
    if not present:
        return np.full((len(weights), len(THRESHOLDS)), np.nan)
    drawn = weights[:, [i for i, _ in present]]  # (R, images with the class)
    positives = drawn @ np.array([own.count for _, own in present], float)  # (R,)
    place = np.repeat(np.arange(len(present)), [len(own.scores) for _, own in present])
    # stable, as COCO's: of equal scores the earlier image comes first
    order = np.argsort(-np.concatenate([own.scores for _, own in present]), kind='mergesort')
    matched, ignored = (
        np.concatenate([getattr(own, name) for _, own in present], axis=1)[:, order] for name in ('matched', 'ignored')
    )
    result = np.full((len(weights), len(THRESHOLDS)), np.nan)
    for r in np.flatnonzero(positives > 0):
        times = drawn[r][place[order]]  # (D,)
        right = np.cumsum(times * (matched & ~ignored), axis=1)
        wrong = np.cumsum(times * (~matched & ~ignored), axis=1)
        result[r] = [_area(tp, fp, positives[r]) for tp, fp in zip(right, wrong, strict=True)]
    return result


def _area(right: np.ndarray, wrong: np.ndarray, positives: float) -> float:
    """Mean precision over COCO's recalls, of (D,) counts down the ranking."""
    precision = right / (right + wrong + np.spacing(1))
    # the best precision at this recall or any higher one
    precision = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(precision[np.searchsorted(right / positives, RECALLS, side='left')].mean())
