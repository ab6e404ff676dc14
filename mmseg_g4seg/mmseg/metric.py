"""Coarse and refined masks, measured in the same run.

Shapes: C classes, N images, H W image size; areas are (C,) histograms.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor

from .class_names import announce_dataset

STAGES = ('coarse', 'refined')


@METRICS.register_module()
class RefinementMetric(IoUMetric):
    """`IoUMetric` for the samples of a `RefinedSegmentor`, with the coarse prediction beside.

    The metrics' usual names (`mIoU`, `mAcc`, `aAcc`, ...) are those of the refined masks, so that
    whatever reads them goes on working; `coarse_mIoU` and so on are the coarse model's. Besides:
    `images_better`, `images_worse`, `images_same` (by the image's mean IoU over the classes of its
    ground truth), `coarse_seconds` and `refine_seconds` per image.

    Args:
        report_dir: folder for `metrics.json` (`{"coarse": ..., "refined": ...}` in per cent, and
            each image's mean IoU) and `table.txt`; none is written when not given.
        mean_classes: names of the classes that count; `labelled` for those that occur in the ground
            truth; all when not given. Others have no figure (a class that is predicted but never
            labelled would enter the means with 0).
        kwargs: as for `IoUMetric`.
    """

    def __init__(
        self,
        *,
        report_dir: str | None = None,
        mean_classes: Sequence[str] | Literal['labelled'] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.report_dir = report_dir
        self.mean_classes = mean_classes

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the data set under test; setting it tells the model's refiner, too."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        announce_dataset(dataset_meta)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Counts the areas of one batch, of both stages."""
        for sample in data_samples:
            first = len(self.results)
            super().process(data_batch, [sample])
            if self.format_only:
                continue
            refined = self.results.pop()
            assert len(self.results) == first
            self.results.append(
                {
                    'name': Path(str(sample.get('img_path', f'image {first}'))).name,
                    'refined': refined,
                    'coarse': self._coarse_areas(sample, refined),
                    'seconds': {stage: float(sample.get(f'{stage}_seconds', 0.0)) for stage in ('coarse', 'refine')},
                }
            )

    def _coarse_areas(self, sample: dict, refined: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Areas of the coarse mask; where nothing was refined, those of the prediction."""
        if 'coarse_sem_seg' not in sample:
            return refined
        labels = sample['coarse_sem_seg']['data'].squeeze()
        truth = sample['gt_sem_seg']['data'].squeeze().to(labels)
        return self.intersect_and_union(labels, truth, len(self.dataset_meta['classes']), self.ignore_index)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sums up a run: prints the table, writes the report, returns the metrics."""
        if self.format_only:
            return super().compute_metrics(results)
        per_class = {stage: self._per_class([r[stage] for r in results]) for stage in STAGES}
        means = {stage: _means(values) for stage, values in per_class.items()}
        images = [{'name': r['name'], **{stage: image_miou(r[stage]) for stage in STAGES}} for r in results]
        changes = count_changes(images)
        seconds = {
            f'{stage}_seconds': float(np.mean([r['seconds'][stage] for r in results])) for stage in ('coarse', 'refine')
        }
        table = self._table(per_class, means) + '\n' + _summary_lines(len(images), changes, seconds)
        print_log('\n' + table, logger=MMLogger.get_current_instance())
        if self.report_dir and is_main_process():
            self._write_report(table, {**means, **changes, **seconds, 'images': images}, per_class)
        metrics = OrderedDict(means['refined'])
        metrics.update({f'coarse_{name}': value for name, value in means['coarse'].items()})
        metrics.update({**changes, **seconds})
        return metrics

    def _per_class(self, areas: list[tuple[Tensor, ...]]) -> dict[str, Any]:
        """IoU, Acc ... of every class, as fractions, and aAcc."""
        totals = [sum(column) for column in zip(*areas, strict=True)]
        figures = self.total_area_to_metrics(*totals, self.metrics, self.nan_to_num, self.beta)
        left_out = ~self._counted(totals[3])
        for metric, values in figures.items():
            if metric != 'aAcc':
                figures[metric] = np.where(left_out, np.nan, np.asarray(values))
        return figures

    def _counted(self, labelled_area: Tensor) -> np.ndarray:
        """Which classes have a figure: (C,) bool."""
        if self.mean_classes is None:
            return np.ones(len(labelled_area), bool)
        if self.mean_classes == 'labelled':
            return (labelled_area > 0).numpy()
        names = list(self.dataset_meta['classes'])
        unknown = [name for name in self.mean_classes if name not in names]
        if unknown:
            raise ValueError(f'mean_classes: expected names among {names}, got {unknown}')
        return np.array([name in self.mean_classes for name in names])

    def _table(self, per_class: dict[str, dict[str, Any]], means: dict[str, dict[str, float]]) -> str:
        """One row a class: coarse IoU, refined IoU, difference; then the means."""
        name = next(metric for metric in per_class['coarse'] if metric != 'aAcc')
        table = PrettyTable(['class', f'coarse {name}', f'refined {name}', 'difference'], align='r')
        table.align['class'] = 'l'
        columns = [np.asarray(per_class[stage][name]) * 100 for stage in STAGES]
        for label, before, after in zip(self.dataset_meta['classes'], *columns, strict=True):
            table.add_row([label, *_cells(before, after)])
        table.add_row(['-' * 8] * 4)
        for mean in means['coarse']:
            table.add_row([mean, *_cells(means['coarse'][mean], means['refined'][mean])])
        return table.get_string()

    def _write_report(self, table: str, summary: dict[str, Any], per_class: dict[str, dict[str, Any]]) -> None:
        assert self.report_dir is not None
        folder = Path(self.report_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in STAGES:
            classes = {
                metric: dict(zip(self.dataset_meta['classes'], _rounded(values), strict=True))
                for metric, values in per_class[stage].items()
                if metric != 'aAcc'
            }
            means = {name: round(mean, 2) for name, mean in summary[stage].items()}
            summary[stage] = {**means, 'classes': classes}
        write_whole(folder / 'metrics.json', json.dumps(summary, indent=1) + '\n')
        write_whole(folder / 'table.txt', table + '\n')


def write_whole(path: Path, text: str) -> None:
    """Writes a text file so that it appears whole or not at all."""
    partial = path.with_name(path.name + '.partial')
    partial.write_text(text)
    partial.replace(path)


def image_miou(areas: tuple[Tensor, ...]) -> float:
    """Mean IoU in per cent of one image, over the classes of its ground truth; NaN where it has none."""
    intersection, union, _, truth = areas
    present = truth > 0
    return float((intersection[present] / union[present]).mean() * 100) if present.any() else float('nan')


def count_changes(images: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Counts the images whose mean IoU rose, fell, or stayed."""
    gains = [image['refined'] - image['coarse'] for image in images]
    return {
        'images_better': sum(gain > 0 for gain in gains),
        'images_worse': sum(gain < 0 for gain in gains),
        'images_same': sum(not (gain > 0 or gain < 0) for gain in gains),
    }


def _means(per_class: dict[str, Any]) -> dict[str, float]:
    """aAcc and the means over classes, in per cent, named and rounded as `IoUMetric` does."""
    return {
        metric if metric == 'aAcc' else f'm{metric}': float(
            np.round(np.nanmean(torch.as_tensor(values).numpy()) * 100, 2)
        )
        for metric, values in per_class.items()
    }


def _rounded(values: Any) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v) * 100, 2) for v in np.asarray(values)]


def _cells(before: float, after: float) -> list[str]:
    """Three cells of the table; a class that never occurs has none."""
    return ['-' if np.isnan(v) else f'{v:.2f}' for v in (before, after)] + [
        '-' if np.isnan(before) or np.isnan(after) else f'{after - before:+.2f}'
    ]


def _summary_lines(count: int, changes: dict[str, int], seconds: dict[str, float]) -> str:
    return (
        f'{count} images: {changes["images_better"]} better, {changes["images_worse"]} worse, '
        f'{changes["images_same"]} the same\n'
        f'seconds per image: {seconds["coarse_seconds"]:.3f} coarse model, {seconds["refine_seconds"]:.3f} refiner'
    )
