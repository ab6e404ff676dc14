"""Class probabilities in `.npz` and `.npy`.

Shapes: C classes, K classes stored, h w grid of the file.
"""

import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.ops.scores import ScoreType, scores_to_probs
from mmseg_g4seg.prediction import ClassList, Prediction

from .mask_files import FileMask, MaskFormat, stored_classes
from .safe_arrays import read_arrays
from .storage import AnyPath


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
    rounded = stored.dtype == np.uint8
    probs = torch.from_numpy(np.ascontiguousarray(stored, np.float32)) / (255 if rounded else 1)
    if 'classes' in arrays:
        return _spread(probs, np.asarray(arrays['classes']), num_classes), True
    if len(probs) != num_classes:
        raise ValueError(f'expected ({num_classes}, h, w) scores, got {tuple(probs.shape)}')
    return probs, rounded


def _spread(probs: Tensor, classes: np.ndarray, num_classes: int) -> Tensor:
    """Scores (K, h, w) of some classes -> (C, h, w), 0 for the others."""
    if classes.dtype.kind not in 'iu' or classes.shape != probs.shape[:1]:
        raise ValueError(
            f'expected integer classes (K,) and probs (K, h, w), got {classes.dtype} {classes.shape}, '
            f'{tuple(probs.shape)}'
        )
    indices = classes.tolist()
    # a class that is named twice would silently keep the last of its maps
    if not set(indices) <= set(range(num_classes)) or len(set(indices)) < len(indices):
        raise ValueError(f'expected different classes 0 to {num_classes - 1}, got {indices}')
    dense = torch.zeros(num_classes, *probs.shape[1:])
    dense[indices] = probs
    return dense


class ScoreFile(MaskFormat):
    """Probabilities (or other scores, see `score_type`) of all classes, or of those that have any."""

    def __init__(self, classes: ClassList, *, score_type: ScoreType = 'softmax', suffix: str = '.npz') -> None:
        super().__init__(classes)
        self.score_type, self.suffix = score_type, suffix

    def read(self, path: AnyPath) -> FileMask:
        scores, inexact = dense_scores(read_arrays(path), len(self.classes))
        # a class left out has probability 0, but no logit
        if inexact and self.score_type == 'logits':
            raise ValueError('logits: expected floats of all classes, got uint8 or some classes alone')
        if inexact and self.score_type == 'softmax':
            _check_rounded(scores)
            return FileMask(probs=scores / scores.sum(dim=0))
        return FileMask(probs=scores_to_probs(scores, self.score_type))

    def encode(self, prediction: Prediction) -> bytes:
        """`.npz` holds the classes that matter as float16, `.npy` all of them as float32."""
        buffer = io.BytesIO()
        probs = prediction.probs.float().cpu()
        if self.suffix == '.npy':
            np.save(buffer, probs.numpy())
            return buffer.getvalue()
        # an image shows a few of 150 classes
        kept = stored_classes(prediction)
        np.savez_compressed(buffer, classes=np.array(kept, np.int16), probs=probs[kept].numpy().astype(np.float16))
        return buffer.getvalue()


def _check_rounded(scores: Tensor) -> None:
    """Sums of scores that lost small classes or digits: somewhat below 1, above by half a digit a class."""
    if not torch.isfinite(scores).all():
        raise ValueError(f'expected finite scores, got {int((~torch.isfinite(scores)).sum())} that are NaN or infinite')
    total = scores.sum(dim=0)
    if float(scores.min()) < 0 or float(total.min()) < 0.5 or float(total.max()) > 1.05 + len(scores) / 510:
        raise ValueError(
            f'expected probabilities that sum to 1 (0.5 where small classes were left out), got '
            f'{float(scores.min()):.4g} to {float(scores.max()):.4g}, sums {float(total.min()):.4g} to '
            f'{float(total.max()):.4g}'
        )
