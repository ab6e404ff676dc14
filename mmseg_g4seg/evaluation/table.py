"""A report as text: tables of classes and means, the gain, the images that changed most.

Shapes: C classes.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from .records import COARSE, REFINED
from .report import REFINE, EvaluationReport
from .rows import aligned, framed
from .statistics import INITIAL_IOU_BINS, Comparison

NAME_WIDTH = 28
"""Longest class name, in characters, that the table shows whole."""


def as_text(report: EvaluationReport) -> str:
    """All of it, for a run with a truth."""
    renderers = (class_table, mean_table, changes_line, seconds_line, gain_text)
    return '\n'.join(render(report) for render in renderers)


def class_table(report: EvaluationReport) -> str:
    """A row a class: the leading figure at every stage, boundary IoU before and after, both gains."""
    stages = [list(report.per_class), *([COARSE, REFINED] for _ in report.shown_figures[1:])]
    columns = list(zip(report.shown_figures, stages, strict=True))
    titles = [[*(f'{stage} {figure}' for stage in shown), f'{figure} gain'] for figure, shown in columns]
    rows = []
    for i, name in enumerate(report.class_names):
        cells = [_cells([report.per_class[stage][figure][i] * 100 for stage in shown]) for figure, shown in columns]
        shown_name = name if len(name) <= NAME_WIDTH else f'{name[: NAME_WIDTH - 3]}...'
        rows.append([shown_name, *chain.from_iterable(cells)])
    return framed([['class', *chain.from_iterable(titles)], *rows])


def mean_table(report: EvaluationReport) -> str:
    """A row a mean, a column a stage."""
    # not rounded: a gain is the difference of what was measured, not of what is shown
    means = report.means
    rows = [[name, *_cells([values[name] for values in means.values()])] for name in means[COARSE]]
    return framed([['mean', *means, 'gain'], *rows])


def pixel_table(report: EvaluationReport) -> str:
    """A row a class that occurs: its pixels before and after, and its IoU where there is a truth."""
    before, after = (report.class_pixels[stage] for stage in (COARSE, REFINED))
    header, rows = ['class', 'pixels before', 'pixels after', 'change %'], []
    for i in (before + after + report.labelled).nonzero()[:, 0].tolist():
        change = f'{100 * (after[i] / before[i] - 1):+.2f}' if before[i] else 'new' if after[i] else '-'
        rows.append([report.class_names[i], str(int(before[i])), str(int(after[i])), change])
        if report.gain is not None:
            rows[-1] += _cells([report.per_class[stage]['IoU'][i] * 100 for stage in (COARSE, REFINED)])
    if report.gain is not None:
        header += ['coarse IoU', 'refined IoU', 'difference']
        rows.append(['mean (labelled classes)', '', '', '', *_cells([report.gain.before, report.gain.after])])
    return '\n'.join(line.rstrip() for line in aligned([header, *rows], '  '))


def changes_line(report: EvaluationReport) -> str:
    """How many images rose and fell."""
    changes = report.changes
    return (
        f'{len(report.images)} images: {changes["images_better"]} better, {changes["images_worse"]} worse, '
        f'{changes["images_same"]} the same'
    )


def seconds_line(report: EvaluationReport) -> str:
    """What an image took; the refiners of a chain one by one, too."""
    seconds = report.seconds
    parts = ', '.join(f'{seconds[stage]:.3f} {stage}' for stage in seconds if stage not in (COARSE, REFINE))
    # masks from files have no model whose time could be taken; an ordinary run without a refiner has neither
    model = f'{seconds[COARSE]:.3f} coarse model, ' if seconds[COARSE] or not seconds[REFINE] else ''
    line = f'seconds per image: {model}{seconds[REFINE]:.3f} refiner'
    return f'{line} ({parts})' if parts else line


def gain_text(report: EvaluationReport) -> str:
    """The gains with their intervals, that of masks by their initial IoU, and the images that changed most."""
    lines = []
    for name, gain in report.refined_gains.items():
        lines.append(_gain_line(name, gain))
        if name == report.headline and any(count for _, count in gain.by_initial_iou):
            lines.append(f'mean gain of masks by initial IoU (number): {_bins(gain)}')
    for title, images in report.largest_changes.items():
        figure = report.headline.replace('mIoU', 'mean IoU')
        lines.append(f'{title.replace("_", " ")}, {figure} of the image:' + ('' if images else ' none'))
        for image in images:
            coarse, refined = image.mean_iou[COARSE], image.mean_iou[REFINED]
            lines.append(f'  {image.gain:+6.2f}  {coarse:6.2f} -> {refined:6.2f}  {image.name}')
    return '\n'.join(lines)


def _gain_line(name: str, gain: Comparison) -> str:
    if np.isnan(gain.gain):
        return f'{name} gain: no labelled pixel'
    low, high = gain.interval
    if np.isnan(low):
        return f'{name} gain {gain.gain:+.2f}; one image, or block of them, has no interval'
    return f'{name} gain {gain.gain:+.2f}, 95 % interval over images [{low:+.2f}, {high:+.2f}]'


def _bins(gain: Comparison) -> str:
    # two digits first, as metrics.json has them: 0.449 is 0.45 there, and 0.4 beside it would look wrong
    return ', '.join(
        f'{round(mean, 2):+.1f} from {low}-{high} ({count})'
        for (low, high), (mean, count) in zip(INITIAL_IOU_BINS, gain.by_initial_iou, strict=True)
        if count
    )


def _cells(figures: Sequence[float]) -> list[str]:
    """Cells of a row: each figure, and the last less the first; a class that never occurs has none."""
    shown = ['-' if np.isnan(figure) else f'{figure:.2f}' for figure in figures]
    gain = figures[-1] - figures[0]
    return [*shown, '-' if np.isnan(gain) else f'{gain:+.2f}']
