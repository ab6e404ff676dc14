"""Rows of a dataset: the columns that operators exchange, and the operator that goes through them one by one.

Shapes: C classes, S label maps so far, H W image size.
"""

import json
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.io.mask_files import FileMask, make_prediction
from mmseg_g4seg.ops.masks import BORDER_WIDTH
from mmseg_g4seg.prediction import ClassList, Key, Prediction
from mmseg_g4seg.registry import register

from .attempts import MOST, Attempts

Row = dict[str, Any]

KILLED = f'ended its process {MOST} times: out of memory, or a fault in compiled code'
STAGES, MAPS = '_stages', '_maps'
"""Columns of rows under way: JSON with names and seconds of the stages, or the error; and (S, H, W) label maps, the
coarse one's first, with C where nothing is labelled."""
KEPT = '_classes'
"""Another: (K,) the classes of a row's scores, and what its labels count, where it has some of the data set's alone."""
EMPTY: Mapping[str, np.ndarray] = {
    'image': np.zeros((0, 0, 3), np.uint8),
    'scores': np.zeros((0, 0, 0), np.float32),
    'labels': np.zeros((0, 0), np.int32),
    'truth': np.zeros((0, 0), np.int32),
    MAPS: np.zeros((0, 0, 0), np.uint16),
    KEPT: np.zeros(0, np.int32),
}
"""What a row at fault has in the columns that could not be made."""


@dataclass(frozen=True)
class Setting:
    """What operators know of the run.

    Attributes:
        classes: of the masks.
        parts: classes that the configs name; those of a notebook are known to no other process.
        soften: how labels become probabilities, see `make_prediction`.
        threads: of torch in each process.
        folder: that paths of the run are relative to, where a machine has it: Ray's processes start elsewhere.
    """

    classes: ClassList
    parts: Sequence[type] = ()
    soften: float = BORDER_WIDTH
    threads: int = 1
    folder: Path = field(default_factory=Path.cwd)

    def enter(self) -> None:
        """Makes a process of the cluster like the one that began the run: its folder, and the parts that it knows."""
        # a run in an object store may come from a folder that only its driver has
        if Path.cwd() != self.folder and self.folder.is_dir():
            os.chdir(self.folder)
        for part in self.parts:
            register(part)


class RowOperator(ABC):
    """Goes through rows one by one: what comes of one never depends on the others of its batch."""

    made: Sequence[str] = ()
    """Columns that it makes, and that `EMPTY` fills where it cannot."""
    fatal: ClassVar[tuple[type[Exception], ...]] = (ImportError,)
    """Errors that are the environment's fault, and so every row's: they end the run."""

    def __init__(self, setting: Setting, attempts: Attempts) -> None:
        self.setting, self.attempts = setting, attempts

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Columns of a batch of rows, each the length of the batch, into those of the same rows."""
        self.check(list(batch))
        self.setting.enter()
        self.prepare()
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        results = self.attempts.each(
            [_identity(row) for row in rows],
            lambda i: self._one(rows[i]),
            lambda i: self.fail(rows[i], KILLED),
        )
        # a filter may leave a block of no rows
        return {name: [row[name] for row in results] for name in (results[0] if results else batch)}

    def check(self, columns: Sequence[str]) -> None:  # noqa: B027
        """Raises ValueError where a dataset lacks a column: the run's fault, not its first row's."""

    def prepare(self) -> None:  # noqa: B027
        """Builds what all rows need; its errors are the run's."""

    @abstractmethod
    def process(self, row: Row) -> Row:
        """What a row becomes; its errors are the row's."""

    def fail(self, row: Row, reason: str, path: str | None = None) -> Row:
        """The row at fault."""
        error = {'error': reason, **({} if path is None else {'path': path})}
        return {**row, **{name: EMPTY[name] for name in self.made}, STAGES: json.dumps(error)}

    def pass_on(self, row: Row, error: Mapping[str, str]) -> Row:
        """A row that an operator before this one found at fault."""
        return {**row, **{name: EMPTY[name] for name in self.made if name not in row}}

    def _one(self, row: Row) -> Row:
        if 'error' in (done := stages_of(row)):
            return self.pass_on(row, done)
        try:
            # with the column of errors whether there are any or not: the rows of a batch have the same
            return self.process({STAGES: '{}', **row})
        except self.fatal:
            raise
        except Exception as error:
            return self.fail(row, f'{type(error).__name__}: {error}')


def stages_of(row: Row) -> dict[str, Any]:
    """What is known of a row's stages: `names` and `seconds`, or `error`; nothing before the first of them."""
    return dict(json.loads(row[STAGES])) if STAGES in row else {}


def key_of(row: Row) -> Key:
    """The image's key: text, or an integer; NumPy's own become Python's, since noise follows from the text of them."""
    key = row['key']
    return key.item() if isinstance(key, np.generic) else key


def coarse_of(row: Row, size: tuple[int, int], setting: Setting) -> Prediction:
    """A row's prediction for an image of `size` (H, W).

    Args:
        row: with `scores` (C, H, W) float in [0, 1], `labels` (H, W) integer, or both: labels by the model's own rule.
        size: of the image.
        setting: whose classes count.

    Raises:
        ValueError: if sizes do not fit.
    """
    scores, labels = (_tensor(row[name]) if name in row else None for name in ('scores', 'labels'))
    if scores is not None and labels is not None:
        return Prediction(scores.float(), labels.long())
    mask = FileMask(None if scores is None else scores.float(), None if labels is None else labels.long())
    return make_prediction(mask, size, len(setting.classes), soften=setting.soften, classes=setting.classes)


def columns_of(prediction: Prediction) -> Row:
    """A prediction as columns: `scores` (C, H, W) float32, `labels` (H, W) int32."""
    labels = prediction.label_map.cpu().numpy().astype(np.int32)
    return {'scores': prediction.probs.float().cpu().numpy(), 'labels': labels}


def kept_of(row: Row) -> list[int] | None:
    """The K classes of a row's scores, ascending; None: all C."""
    return [int(c) for c in row[KEPT]] if KEPT in row else None


def _tensor(array: Any) -> Tensor:
    # a copy: arrays lie in Ray's store, where nothing may be written
    return torch.tensor(np.asarray(array))


def _identity(row: Row) -> str:
    """Tells an image from others under way: by key and pixels, since a dataset may give one key to several."""
    pixels = np.ascontiguousarray(row.get('image', ())).data
    return f'{row.get("key")}-{zlib.crc32(pixels):08x}'
