"""What an evaluation found, as text, JSON and CSV.

Shapes: C classes. Stages are the coarse mask, those between the refiners of a chain, the refined one.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from prettytable import PrettyTable

from mmseg_g4seg.io.atomic import atomic_write

from .gain import change_lines, count_changes, gain_lines, largest_changes
from .stage_areas import COARSE, REFINED

BOUNDARY = 'BIoU'
NAME_WIDTH = 28
"""Longest class name, in characters, that the table shows whole."""


@dataclass(frozen=True)
class EvaluationReport:
    """Attributes (dicts by stage list the coarse stage first and the refined one last):
    class_names: C names.
    per_class: by stage, then metric (`IoU`, `Acc`, `BIoU` ...), (C,) fractions, NaN where there is
        none; and the fraction `aAcc`.
    images: of each its `name` and, by stage, its mean IoU over its labelled classes in per cent.
    seconds: an image, of `coarse`, every refiner and, together, `refine`.
    gain: see `gain_report`.
    boundary_gain: see `boundary_gain_report`; None where boundaries were not measured.
    """

    class_names: Sequence[str]
    per_class: dict[str, dict[str, Any]]
    images: Sequence[dict[str, Any]]
    seconds: dict[str, float]
    gain: dict[str, Any]
    boundary_gain: dict[str, Any] | None

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """By stage: aAcc and the means over classes, in per cent, named and rounded as `IoUMetric` does."""
        return {stage: _rounded(_means(figures)) for stage, figures in self.per_class.items()}

    def metrics(self) -> dict[str, float]:
        """What an evaluator returns: the refined means by their usual names, the others with a prefix."""
        means = self.means
        metrics = dict(means.pop(REFINED))
        for stage, values in means.items():
            metrics.update({f'{stage}_{name}': value for name, value in values.items()})
        low, high = (math.nan if bound is None else bound for bound in self.gain['interval'])
        seconds = {f'{stage}_seconds': value for stage, value in self.seconds.items()}
        return {**metrics, 'gain_low': low, 'gain_high': high, **count_changes(self.images), **seconds}

    def text(self) -> str:
        """Tables of the classes and the means, then the gain and the images that changed most."""
        parts = [self._class_table(), self._mean_table(), self._summary(), gain_lines(self.gain)]
        if self.boundary_gain is not None:
            parts.append(gain_lines(self.boundary_gain, 'mBIoU'))
        return '\n'.join([*parts, change_lines(largest_changes(self.images))])

    def json(self) -> str:
        """Everything, by stage where it has one; null where there is no figure."""
        stages = {}
        for stage, means in self.means.items():
            figures = {name: values for name, values in self.per_class[stage].items() if name != 'aAcc'}
            by_class = {
                metric: dict(zip(self.class_names, _per_cent(values), strict=True))
                for metric, values in figures.items()
            }
            stages[stage] = {**{name: round(mean, 2) for name, mean in means.items()}, 'classes': by_class}
        gains = {'gain': self.gain}
        if self.boundary_gain is not None:
            gains['boundary_gain'] = self.boundary_gain
        content = {**stages, **count_changes(self.images), **gains, **largest_changes(self.images)}
        content.update({'seconds': self.seconds, 'images': self.images})
        return json.dumps(_without_nan(content), indent=1, allow_nan=False) + '\n'

    def classes_csv(self) -> str:
        """A row a class: the leading metric and boundary IoU of every stage, in per cent."""
        columns = [(stage, metric) for metric in self._shown_metrics() for stage in self.per_class]
        figures = [_per_cent(self.per_class[stage][metric]) for stage, metric in columns]
        header = ['class', *(f'{stage}_{metric}' for stage, metric in columns)]
        return _csv([header, *zip(self.class_names, *figures, strict=True)])

    def images_csv(self) -> str:
        """A row an image: its mean IoU at every stage and the gain, in per cent."""
        rows = []
        for image in self.images:
            figures = [*(image[stage] for stage in self.per_class), image[REFINED] - image[COARSE]]
            rows.append([image['name'], *('' if math.isnan(figure) else f'{figure:.4f}' for figure in figures)])
        return _csv([['name', *self.per_class, 'gain'], *rows])

    def write(self, folder: Path) -> None:
        """Writes `metrics.json`, `classes.csv`, `images.csv` and `table.txt`, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / 'classes.csv', self.classes_csv())
        atomic_write(folder / 'images.csv', self.images_csv())
        atomic_write(folder / 'metrics.json', self.json())
        atomic_write(folder / 'table.txt', self.text() + '\n')

    def _shown_metrics(self) -> list[str]:
        """The leading metric and, where measured, boundary IoU."""
        names = [name for name in self.per_class[COARSE] if name != 'aAcc']
        return [names[0], *([BOUNDARY] if BOUNDARY in names else [])]

    def _class_table(self) -> str:
        """A row a class: the leading metric at every stage, boundary IoU before and after, both gains."""
        metric, *boundary = self._shown_metrics()
        shown = {metric: list(self.per_class), **{name: [COARSE, REFINED] for name in boundary}}
        titles = [[*(f'{stage} {name}' for stage in stages), f'{name} gain'] for name, stages in shown.items()]
        table = PrettyTable(['class', *chain.from_iterable(titles)], align='r')
        table.align['class'] = 'l'
        columns = [[np.asarray(self.per_class[s][name]) * 100 for s in stages] for name, stages in shown.items()]
        for i, name in enumerate(self.class_names):
            cells = [_cells([values[i] for values in group]) for group in columns]
            shown_name = name if len(name) <= NAME_WIDTH else f'{name[: NAME_WIDTH - 3]}...'
            table.add_row([shown_name, *chain.from_iterable(cells)])
        return table.get_string()

    def _mean_table(self) -> str:
        """A row a mean, a column a stage."""
        # not rounded: a gain is the difference of what was measured, not of what is shown
        means = {stage: _means(figures) for stage, figures in self.per_class.items()}
        table = PrettyTable(['mean', *means, 'gain'], align='r')
        table.align['mean'] = 'l'
        for name in means[COARSE]:
            table.add_row([name, *_cells([values[name] for values in means.values()])])
        return table.get_string()

    def _summary(self) -> str:
        changes, seconds = count_changes(self.images), self.seconds
        stages = ', '.join(f'{seconds[stage]:.3f} {stage}' for stage in seconds if stage not in (COARSE, 'refine'))
        return (
            f'{len(self.images)} images: {changes["images_better"]} better, {changes["images_worse"]} worse, '
            f'{changes["images_same"]} the same\n'
            f'seconds per image: {seconds[COARSE]:.3f} coarse model, {seconds["refine"]:.3f} refiner'
            + (f' ({stages})' if stages else '')
        )


def mean_seconds(seconds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Seconds an image: the coarse model's, every refiner's, and the refiners' together."""
    stages = seconds[0] if all(seconds) else {}
    means = {COARSE: 0.0, **{stage: float(np.mean([s[stage] for s in seconds])) for stage in stages}}
    return {**means, 'refine': sum(value for stage, value in means.items() if stage != COARSE)}


def _means(figures: dict[str, Any]) -> dict[str, float]:
    names = {metric: metric if metric == 'aAcc' else f'm{metric}' for metric in figures}
    return {names[metric]: float(np.nanmean(values) * 100) for metric, values in figures.items()}


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(figure, 2) for name, figure in figures.items()}


def _per_cent(fractions: Iterable[float]) -> list[float | None]:
    """Rounded; None where there is no figure."""
    return [None if np.isnan(fraction) else round(float(fraction) * 100, 2) for fraction in fractions]


def _cells(figures: Sequence[float]) -> list[str]:
    """Cells of a row: each figure, and the last less the first; a class that never occurs has none."""
    shown = ['-' if np.isnan(figure) else f'{figure:.2f}' for figure in figures]
    gain = figures[-1] - figures[0]
    return [*shown, '-' if np.isnan(gain) else f'{gain:+.2f}']


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator='\n').writerows(rows)
    return buffer.getvalue()


def _without_nan(value: Any) -> Any:
    """The same content with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
