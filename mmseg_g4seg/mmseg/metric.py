"""Coarse and refined masks, measured in the same run.

Shapes: C classes, N images, H W image size; areas are (C,) histograms.
"""

import csv
import io
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

from ..files.whole import write_whole
from .class_names import announce_dataset
from .gain import gain_lines, gain_report

Areas = tuple[Tensor, ...]
"""Intersection, union, predicted and labelled area of every class, (C,) each."""


@METRICS.register_module()
class RefinementMetric(IoUMetric):
    """`IoUMetric` for the samples of a `RefinedSegmentor`, with the coarse prediction beside.

    The metrics' usual names (`mIoU`, `mAcc`, `aAcc`, ...) are those of the refined masks, so that
    whatever reads them goes on working; `coarse_mIoU` and so on are the coarse model's. Besides:
    `images_better`, `images_worse`, `images_same` (by the image's mean IoU over the classes of its
    ground truth), `gain_low` and `gain_high` (bootstrap 95 % interval of the mIoU gain over images),
    `coarse_seconds` and `refine_seconds` per image. The masks between the refiners
    of a chain have a column each, and metrics under the refiner's name (`G4Seg_mIoU`).

    Args:
        report_dir: folder for `metrics.json` (`{"coarse": ..., "refined": ...}` in per cent, the gain
            with its interval and by initial IoU, and each image's mean IoU), `classes.csv` (IoU of
            every class and stage) and `table.txt`; none is written when not given.
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
        """Counts the areas of one batch, of every stage."""
        for sample in data_samples:
            number = len(self.results)
            super().process(data_batch, [sample])
            if self.format_only:
                continue
            final = self.results.pop()
            self.results.append(
                {
                    'name': Path(str(sample.get('img_path', f'image {number}'))).name,
                    'areas': self._stage_areas(sample, final),
                    'seconds': sample.get('stage_seconds', {}),
                }
            )

    def _stage_areas(self, sample: dict, final: Areas) -> dict[str, Areas]:
        """Areas of each stage's mask, coarse first, refined last; nothing refined, both are the prediction's."""
        names = sample.get('stage_names', [])
        masks = {'coarse': 'coarse_sem_seg', **{name: f'stage{i}_sem_seg' for i, name in enumerate(names[:-1])}}
        return {**{name: self._areas(sample, mask, final) for name, mask in masks.items()}, 'refined': final}

    def _areas(self, sample: dict, mask: str, final: Areas) -> Areas:
        if mask not in sample:
            return final
        labels = sample[mask]['data'].squeeze()
        truth = sample['gt_sem_seg']['data'].squeeze().to(labels)
        return self.intersect_and_union(labels, truth, len(self.dataset_meta['classes']), self.ignore_index)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sums up a run: prints the table, writes the report, returns the metrics."""
        if self.format_only:
            return super().compute_metrics(results)
        stages = list(results[0]['areas'])
        per_class = {stage: self._per_class([r['areas'][stage] for r in results]) for stage in stages}
        means = {stage: _means(values) for stage, values in per_class.items()}
        images = [{'name': r['name'], **{stage: image_miou(r['areas'][stage]) for stage in stages}} for r in results]
        changes = count_changes(images)
        seconds = _mean_seconds([r['seconds'] for r in results])
        gain = self._gain([r['areas'] for r in results])
        lines = [self._table(per_class, means), _summary_lines(len(images), changes, seconds), gain_lines(gain)]
        table = '\n'.join(lines)
        print_log('\n' + table, logger=MMLogger.get_current_instance())
        if self.report_dir and is_main_process():
            summary = {**means, **changes, 'gain': gain, 'seconds': seconds, 'images': images}
            self._write_report(table, summary, per_class)
        metrics = OrderedDict(means['refined'])
        for stage in stages[:-1]:
            metrics.update({f'{stage}_{name}': value for name, value in means[stage].items()})
        metrics.update({'gain_low': gain['interval'][0], 'gain_high': gain['interval'][1]})
        metrics.update({**changes, **{f'{stage}_seconds': value for stage, value in seconds.items()}})
        return metrics

    def _per_class(self, areas: list[Areas]) -> dict[str, Any]:
        """IoU, Acc ... of every class, as fractions, and aAcc."""
        totals = [sum(column) for column in zip(*areas, strict=True)]
        figures = self.total_area_to_metrics(*totals, self.metrics, self.nan_to_num, self.beta)
        left_out = ~self._counted(totals[3])
        for metric, values in figures.items():
            if metric != 'aAcc':
                figures[metric] = np.where(left_out, np.nan, np.asarray(values))
        return figures

    def _gain(self, areas: list[dict[str, Areas]]) -> dict[str, Any]:
        """The gain of the refined masks over the coarse ones, see `gain_report`."""
        before, after = ([image[stage] for image in areas] for stage in ('coarse', 'refined'))
        return gain_report(before, after, np.flatnonzero(self._counted(sum(a[3] for a in before))).tolist())

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
        """One row a class: IoU of every stage, and refined less coarse; then the means."""
        name = next(metric for metric in per_class['coarse'] if metric != 'aAcc')
        table = PrettyTable(['class', *(f'{stage} {name}' for stage in per_class), 'difference'], align='r')
        table.align['class'] = 'l'
        columns = [np.asarray(values[name]) * 100 for values in per_class.values()]
        for label, *row in zip(self.dataset_meta['classes'], *columns, strict=True):
            table.add_row([label, *_cells(row)])
        table.add_row(['-' * 8] * (len(per_class) + 2))
        for mean in means['coarse']:
            table.add_row([mean, *_cells([values[mean] for values in means.values()])])
        return table.get_string()

    def _csv(self, per_class: dict[str, dict[str, Any]]) -> str:
        """IoU of every class and stage, in per cent, as CSV; empty where a class has none."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator='\n')
        writer.writerow(['class', *per_class])
        name = next(metric for metric in per_class['coarse'] if metric != 'aAcc')
        writer.writerows(
            zip(self.dataset_meta['classes'], *(_rounded(values[name]) for values in per_class.values()), strict=True)
        )
        return buffer.getvalue()

    def _write_report(self, table: str, summary: dict[str, Any], per_class: dict[str, dict[str, Any]]) -> None:
        assert self.report_dir is not None
        folder = Path(self.report_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in per_class:
            classes = {
                metric: dict(zip(self.dataset_meta['classes'], _rounded(values), strict=True))
                for metric, values in per_class[stage].items()
                if metric != 'aAcc'
            }
            means = {name: round(mean, 2) for name, mean in summary[stage].items()}
            summary[stage] = {**means, 'classes': classes}
        write_whole(folder / 'classes.csv', self._csv(per_class))
        write_whole(folder / 'metrics.json', json.dumps(summary, indent=1) + '\n')
        write_whole(folder / 'table.txt', table + '\n')


def image_miou(areas: Areas) -> float:
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


def _cells(figures: Sequence[float]) -> list[str]:
    """Cells of a row: each figure, and the last less the first; a class that never occurs has none."""
    shown = ['-' if np.isnan(figure) else f'{figure:.2f}' for figure in figures]
    difference = figures[-1] - figures[0]
    return [*shown, '-' if np.isnan(difference) else f'{difference:+.2f}']


def _mean_seconds(seconds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Seconds an image: the coarse model's, every refiner's, and the refiners' together."""
    stages = seconds[0] if all(seconds) else {}
    means = {'coarse': 0.0, **{stage: float(np.mean([s[stage] for s in seconds])) for stage in stages}}
    return {**means, 'refine': sum(value for stage, value in means.items() if stage != 'coarse')}


def _summary_lines(count: int, changes: dict[str, int], seconds: dict[str, float]) -> str:
    stages = ', '.join(f'{value:.3f} {stage}' for stage, value in seconds.items() if stage not in ('coarse', 'refine'))
    return (
        f'{count} images: {changes["images_better"]} better, {changes["images_worse"]} worse, '
        f'{changes["images_same"]} the same\n'
        f'seconds per image: {seconds["coarse"]:.3f} coarse model, {seconds["refine"]:.3f} refiner'
        + (f' ({stages})' if stages else '')
    )
