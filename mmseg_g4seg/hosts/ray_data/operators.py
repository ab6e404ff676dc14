"""The operators that need a model: the coarse source, and the refiners of a chain.

Shapes: C classes, S label maps so far, H W image size.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.coarse import CoarseSource, build_source
from mmseg_g4seg.hosts.arrays import as_image
from mmseg_g4seg.hosts.folder.refine import mask_record
from mmseg_g4seg.hosts.folder.shares import fixed_threads
from mmseg_g4seg.io.mask_files import as_labels
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import ChainPart, build_refiner
from mmseg_g4seg.refiners.sequential import SequentialRefiner, numbered

from .attempts import Attempts
from .rows import KEPT, MAPS, STAGES, Row, RowOperator, Setting, coarse_of, columns_of, kept_of, key_of, stages_of


class PredictCoarse(RowOperator):
    """Gives images coarse masks: `scores` (C, H, W) and `labels` (H, W)."""

    made = ('scores', 'labels')

    def __init__(
        self, setting: Setting, attempts: Attempts, *, config: Mapping[str, Any] | str, device: str = 'cpu'
    ) -> None:
        """Args:
        setting: of the run.
        attempts: of this operator.
        config: of the source, see `build_source`.
        device: to run on.
        """
        super().__init__(setting, attempts)
        self.setting.enter()
        with attempts.loading():
            self.source: CoarseSource = build_source(config, {}).to(device)
        self.source.check(setting.classes)

    def check(self, columns: Sequence[str]) -> None:
        _expect(columns, 'image', 'key')

    def process(self, row: Row) -> Row:
        with fixed_threads(self.setting.threads):
            found = self.source.predict(_image(row), self.setting.classes, key=key_of(row))
        return {**row, **columns_of(found)}


class RefineStages(RowOperator):
    """Refines masks by stages of a chain that run in one place; they are built at the first batch."""

    made = ('scores', 'labels', MAPS)

    def __init__(
        self,
        setting: Setting,
        attempts: Attempts,
        *,
        part: ChainPart,
        class_options: Mapping[str, Any],
        device: str = 'cpu',
        ends: bool = False,
    ) -> None:
        """Args:
        setting: of the run.
        attempts: of this operator.
        part: the stages.
        class_options: what the chain's config says of the classes.
        device: to run on.
        ends: whether rows leave with a report.
        """
        super().__init__(setting, attempts)
        self.part, self.device, self.ends = part, device, ends
        self.classes = setting.classes.with_options(class_options)

    @cached_property
    def stages(self) -> list[Refiner]:
        chain = build_refiner(self.part.config)
        assert isinstance(chain, SequentialRefiner)
        return chain.to(self.device).refiners

    def prepare(self) -> None:
        assert self.stages

    def check(self, columns: Sequence[str]) -> None:
        _expect(columns, 'image', 'key')
        if not {'scores', 'labels'} & {*columns}:
            raise ValueError(f"expected a column 'scores' or 'labels', got {sorted(columns)}")

    def process(self, row: Row) -> Row:
        image, key = _image(row), key_of(row)
        _check_maps(row, len(self.classes))
        current = coarse_of(row, (image.shape[1], image.shape[2]), replace(self.setting, classes=self.classes))
        done, kept, count = stages_of(row) or {'names': [], 'seconds': []}, kept_of(row), len(self.classes)
        classes = self.classes if kept is None else self.classes.subset(kept)
        maps = [*row[MAPS]] if MAPS in row else [_as_map(current, count, kept)]
        with fixed_threads(self.setting.threads):
            for refiner in self.stages:
                # one image at a time: sums over a batch would change the last bits with its size
                for stage in refiner.refine_stages([image], [current], classes, keys=[key]):
                    done['names'].append(numbered(stage.name, done['names']))
                    done['seconds'].append(stage.seconds)
                    maps.append(_as_map(stage.predictions[0], count, kept))
                current = stage.predictions[0]
        return self._leave({**row, **columns_of(current), MAPS: np.stack(maps), STAGES: json.dumps(done)})

    def fail(self, row: Row, reason: str, path: str | None = None) -> Row:
        return self._leave(super().fail(row, reason, path))

    def pass_on(self, row: Row, error: Mapping[str, str]) -> Row:
        return self._leave(super().pass_on(row, error))

    def _leave(self, row: Row) -> Row:
        return ended(row, self.setting.classes) if self.ends else row


class RefineStagesInActor(RefineStages):
    """The same with the stages built before the first batch, so that Ray waits for them with it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.setting.enter()
        with self.attempts.loading():
            self.prepare()


def ended(row: Row, classes: ClassList) -> Row:
    """A row with `report` in place of the columns that it had under way: its record, or its error."""
    rest = {name: value for name, value in row.items() if name not in (STAGES, MAPS)}
    error = stages_of(row).get('error')
    report = record_of(row, None, classes) if error is None else {'error': error}
    return {**rest, 'report': json.dumps({'name': key_of(row), **report})}


def record_of(row: Row, truth: Tensor | None, classes: ClassList) -> dict[str, Any]:
    """What the report keeps of a row whose stages are done; truth (H, W) int64, or None."""
    done = stages_of(row)
    maps = [torch.from_numpy(labels.astype(np.int64)) for labels in row[MAPS]]
    return mask_record(maps, dict(zip(done['names'], done['seconds'], strict=True)), truth, classes)


def _image(row: Row) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [0, 1]."""
    return as_image(np.array(row['image']))


def _as_map(prediction: Prediction, num_classes: int, kept: Sequence[int] | None) -> np.ndarray:
    """Labels (H, W) uint16 in the data set, C where nothing is labelled."""
    return as_labels(prediction, num_classes, kept).cpu().numpy().astype(np.uint16)


def _check_maps(row: Row, num_classes: int) -> None:
    """Raises ValueError where a row of the user's has scores of other classes, or labels that are no integers."""
    if 'scores' in row and len(row['scores']) != len(row[KEPT] if KEPT in row else range(num_classes)):
        raise ValueError(f'expected scores of {num_classes} classes, got {np.shape(row["scores"])}')
    if 'labels' in row and np.asarray(row['labels']).dtype.kind not in 'iub':
        raise ValueError(f'expected labels of integers, got {np.asarray(row["labels"]).dtype}')


def _expect(columns: Sequence[str], *names: str) -> None:
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f'expected the column {missing[0]!r}, got {sorted(columns)}')
