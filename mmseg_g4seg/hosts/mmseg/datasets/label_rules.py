"""From the ids in a label file to training ids, by mmseg's rules, with nothing left unsaid.

Shapes: H W image size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmseg_g4seg.prediction import IGNORE_INDEX


class UnexpectedIds(ValueError):
    """Ids in a label file that belong to no class and are not ignored.

    Attributes:
        ids: the ids as the file has them, sorted.
    """

    def __init__(self, ids: Sequence[int], expected: str) -> None:
        super().__init__(f'label ids {_short(ids)} do not belong; expected {expected}')
        self.ids = list(ids)


@dataclass(frozen=True)
class LabelRules:
    """What mmseg's `LoadAnnotations` does to ids: first `reduce_zero_label`, then `label_map`.

    Attributes:
        num_classes: classes of the data set; training ids are 0 to `num_classes` - 1.
        ignore_index: training id that is allowed besides.
        reduce_zero_label: raw 0 is ignored (255), every other id falls by one.
        label_map: training id of a raw id (after `reduce_zero_label`); ids that it lacks stay.
    """

    num_classes: int
    ignore_index: int = IGNORE_INDEX
    reduce_zero_label: bool = False
    label_map: Mapping[int, int] | None = None

    @cached_property
    def table(self) -> np.ndarray:
        """Training id of each raw id from 0 to 255: (256,) uint8."""
        reduced = np.arange(256)
        if self.reduce_zero_label:
            # 255 stays ignored, as in mmseg
            reduced = np.where((reduced == 0) | (reduced == 255), 255, reduced - 1)
        mapped = reduced.copy()
        for old, new in (self.label_map or {}).items():
            mapped[reduced == old] = new
        return mapped.astype(np.uint8)

    @cached_property
    def allowed(self) -> np.ndarray:
        """Which raw ids from 0 to 255 have a class or are ignored: (256,) bool."""
        return (self.table < self.num_classes) | (self.table == self.ignore_index)

    @property
    def expected(self) -> str:
        """The allowed raw ids, in words: `0 to 33, 255`."""
        return _ranges(np.flatnonzero(self.allowed).tolist())

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Training ids of a label file's ids.

        Args:
            raw: (H, W) of bool or integers, as the file has them.

        Returns:
            (H, W) uint8, `ignore_index` or below `num_classes`.

        Raises:
            ValueError: if there is more than one channel (a painted label map, not ids).
            UnexpectedIds: if an id is of no class and not ignored.
        """
        if raw.ndim != 2:
            raise ValueError(f'expected one channel of ids, (H, W), got {raw.shape}: is this a painted label map?')
        if raw.dtype != np.uint8:
            outside = (raw < 0) | (raw > 255) if raw.dtype != bool else np.zeros(raw.shape, bool)
            self._refuse(raw[outside])
            raw = raw.astype(np.uint8)
        fits = self.allowed[raw]
        if not fits.all():
            self._refuse(raw[~fits])
        return self.table[raw]

    def _refuse(self, ids: np.ndarray) -> None:
        if ids.size:
            raise UnexpectedIds(np.unique(ids).tolist(), self.expected)


def _ranges(ids: Sequence[int]) -> str:
    """Sorted ids in words: [0, 1, 2, 5] -> `0 to 2, 5`."""
    runs: list[list[int]] = []
    for i in ids:
        if runs and i == runs[-1][-1] + 1:
            runs[-1][1:] = [i]
        else:
            runs.append([i])
    return ', '.join(' to '.join(map(str, run)) for run in runs)


def _short(ids: Sequence[int], most: int = 12) -> str:
    return str(list(ids)) if len(ids) <= most else f'{list(ids[:most])} and {len(ids) - most} more'
