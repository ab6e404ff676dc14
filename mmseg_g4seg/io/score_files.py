"""Class probabilities in `.npz` and `.npy`.

Shapes: C classes, K classes stored, h w grid of the file.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.ops.scores import ScoreType, check_finite, scores_to_probs
from mmseg_g4seg.prediction import ClassList, Prediction

from .mask_files import FileMask, MaskFormat, stored_classes
from .safe_arrays import read_arrays
from .storage import AnyPath

LEAST_SUM = 0.5
"""Of the probabilities of a pixel where small classes were left out."""


def dense_scores(content: Any, num_classes: int) -> tuple[Tensor, bool]:
    """Scores of all classes from what a file holds.

    Args:
        content: an array (C, h, w); or a dictionary with `probs`, alone (C, h, w) or beside `classes`
            (K,) int with `probs` (K, h, w), the other classes being 0. uint8 counts in 1/255.
        num_classes: C.

    Returns:
        (C, h, w) float32, and whether classes or digits were left out, so that sums are not exact.

    Raises:
        ValueError: if shapes, types or class ids do not fit.
    """
    stored, classes = _stored(content, num_classes)
    inexact = classes is not None or stored.dtype == np.uint8
    return _as_floats(stored, range(num_classes) if classes is None else classes, range(num_classes)), inexact


def _stored(content: Any, num_classes: int) -> tuple[np.ndarray, list[int] | None]:
    """Scores (K, h, w) as they are stored, and their classes, None where they are of all; see `dense_scores`."""
    arrays = content if isinstance(content, dict) else {'probs': content}
    if 'probs' not in arrays and len(arrays) == 1:
        arrays = {'probs': next(iter(arrays.values()))}
    if 'probs' not in arrays:
        raise ValueError(f"expected an array 'probs', got {sorted(map(str, arrays))}")
    stored = arrays['probs']
    if not isinstance(stored, np.ndarray) or not (stored.dtype == np.uint8 or stored.dtype.kind == 'f'):
        raise ValueError(f'expected uint8 or float scores, got {getattr(stored, "dtype", type(stored).__name__)}')
    if stored.ndim != 3 or 0 in stored.shape[1:]:
        raise ValueError(f'expected scores (classes, height, width), got {stored.shape}')
    if 'classes' not in arrays:
        if len(stored) != num_classes:
            raise ValueError(f'expected ({num_classes}, h, w) scores, got {stored.shape}')
        return stored, None
    classes = np.asarray(arrays['classes'])
    if classes.dtype.kind not in 'iu' or classes.shape != stored.shape[:1]:
        raise ValueError(
            f'expected integer classes (K,) and probs (K, h, w), got {classes.dtype} {classes.shape}, {stored.shape}'
        )
    indices = classes.tolist()
    # a class that is named twice would silently keep the last of its maps
    if not set(indices) <= set(range(num_classes)) or len(set(indices)) < len(indices):
        raise ValueError(f'expected different classes 0 to {num_classes - 1}, got {indices}')
    return stored, indices


def _as_floats(stored: np.ndarray, classes: Sequence[int], wanted: Sequence[int]) -> Tensor:
    """Stored scores of some classes as (wanted, h, w) float32, 0 for classes that are not stored."""
    places = {c: row for row, c in enumerate(classes)}
    scores = torch.zeros(len(wanted), *stored.shape[1:])
    for plane, c in zip(scores, wanted, strict=True):
        if c in places:
            plane.copy_(torch.from_numpy(np.ascontiguousarray(stored[places[c]], np.float32)))
    return scores.div_(255) if stored.dtype == np.uint8 else scores


class ScoreFile(MaskFormat):
    """Probabilities (or other scores, see `score_type`) of all classes, or of those that have any."""

    def __init__(
        self,
        classes: ClassList,
        *,
        score_type: ScoreType = 'softmax',
        present_only: bool = False,
        suffix: str = '.npz',
    ) -> None:
        super().__init__(classes)
        self.score_type, self.present_only, self.suffix = score_type, present_only, suffix

    def read(self, path: AnyPath) -> FileMask:
        stored, named = _stored(read_arrays(path), len(self.classes))
        inexact = named is not None or stored.dtype == np.uint8
        # a class left out has probability 0, but no logit
        if inexact and self.score_type == 'logits':
            raise ValueError('logits: expected floats of all classes, got uint8 or some classes alone')
        named = list(range(len(self.classes))) if named is None else named
        kept = self._scored(stored, named)
        scores = _as_floats(stored, named, kept)
        if not (inexact or self.present_only) or self.score_type != 'softmax':
            del stored
            return FileMask(scores_to_probs(scores, self.score_type), classes=kept)
        # a pixel's own class has at least its even share
        _check_rounded(scores, 1 / len(self.classes) - 1e-3 if self.present_only else LEAST_SUM)
        return FileMask(scores.div_(scores.sum(dim=0)), classes=kept)

    def encode(self, prediction: Prediction, kept: Sequence[int] | None = None) -> bytes:
        """`.npz` holds the classes that matter as float16, `.npy` all of them as float32."""
        probs, numbers, buffer = prediction.probs.float().cpu(), self._numbers(kept), io.BytesIO()
        # far from any label the classes left out had their share, too: a reader would miss sums of 1
        total = probs.sum(dim=0)
        share = torch.where((total > 0) & (total < LEAST_SUM), total, 1.0)
        if self.suffix == '.npy':
            # zeros take no memory before they are written to
            whole = np.zeros((len(self.classes), *probs.shape[1:]), np.float32)
            for c, plane in zip(numbers, probs, strict=True):
                whole[c] = plane / share
            np.save(buffer, whole)
            return buffer.getvalue()
        # an image shows a few of 150 classes
        stored = stored_classes(prediction)
        halves = np.empty((len(stored), *probs.shape[1:]), np.float16)
        for plane, row in zip(halves, stored, strict=True):  # one by one: no second copy in float32
            plane[...] = (probs[row] / share).numpy()
        np.savez_compressed(buffer, classes=np.array([numbers[row] for row in stored], np.int16), probs=halves)
        return buffer.getvalue()

    def _numbers(self, kept: Sequence[int] | None) -> Sequence[int]:
        return range(len(self.classes)) if kept is None else kept

    def _scored(self, stored: np.ndarray, named: list[int]) -> list[int]:
        """Classes that a file's scores (K, h, w) leave in play, ascending; see `classes_in_play`."""
        if self.present_only:
            native = stored.astype(stored.dtype.newbyteorder('='), copy=False)
            found = [named[row] for row in torch.from_numpy(native).argmax(dim=0).unique().tolist()]
        elif self.score_type == 'logits':
            found = named
        else:
            found = [c for c, plane in zip(named, stored, strict=True) if plane.any()]
        return sorted({0, *found, *([] if self.classes.background is None else [self.classes.background])})


def _check_rounded(scores: Tensor, least: float) -> None:
    """Sums of scores (K, h, w) that lost classes or digits: below 1, above by half a digit a class."""
    check_finite(scores)
    total = scores.sum(dim=0)
    if float(scores.min()) < 0 or float(total.min()) < least or float(total.max()) > 1.05 + len(scores) / 510:
        raise ValueError(
            f'expected probabilities that sum to 1 (0.5 where small classes were left out), got '
            f'{float(scores.min()):.4g} to {float(scores.max()):.4g}, sums {float(total.min()):.4g} to '
            f'{float(total.max()):.4g}'
        )
