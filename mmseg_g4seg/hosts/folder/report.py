"""The table and the summary of a run over a folder.

Shapes: N images, C classes.
"""

from collections.abc import Sequence
from typing import Any

import torch

from mmseg_g4seg.evaluation.areas import class_iou, mean_iou


def make_table(report: dict[str, Any], class_names: Sequence[str]) -> str:
    """One row a class that occurs: its pixels before and after, and its IoU where there is a truth."""
    images = report['images']
    before, after = (_total(images, side, len(class_names)) for side in ('before', 'after'))
    measured = bool(images) and 'coarse_areas' in images[0]
    sides = ('coarse_areas', 'refined_areas') if measured else ()
    areas = [_total(images, side, (3, len(class_names))) for side in sides]
    header = ['class', 'pixels before', 'pixels after', 'change %']
    rows = []
    for i in torch.where(sum((a[2] for a in areas), before + after) > 0)[0].tolist():
        rows.append([class_names[i], str(int(before[i])), str(int(after[i])), _change(before[i], after[i])])
        rows[-1] += _cells(*(class_iou(a)[i] for a in areas)) if measured else []
    if measured:
        header += ['coarse IoU', 'refined IoU', 'difference']
        rows.append(['mean (labelled classes)', '', '', '', *_cells(*map(mean_iou, areas))])
    return '\n'.join([_aligned(header, rows), '', summarise(report)])


def summarise(report: dict[str, Any]) -> str:
    """How many masks were refined, and how many could not be."""
    images, pixels = report['images'], sum(image['pixels'] for image in report['images'])
    changed = sum(image['changed'] for image in images)
    share = f', {100 * changed / pixels:.2f} % of their pixels changed' if pixels else ''
    lines = [f'{len(images)} masks refined{share}; {len(report["errors"])} errors']
    lines += [f'  {error["path"]}: {error["error"]}' for error in report['errors']]
    for name, what in (('ignored_files', 'files of another suffix'), ('images_without_mask', 'images without a mask')):
        if report[name]:
            lines.append(f'{len(report[name])} {what} left aside')
    return '\n'.join(lines)


def _total(images: Sequence[dict[str, Any]], entry: str, shape: int | tuple[int, ...]) -> torch.Tensor:
    counts = [torch.tensor(image[entry]) for image in images]
    return torch.stack(counts).sum(dim=0) if counts else torch.zeros(shape, dtype=torch.long)


def _change(before: torch.Tensor, after: torch.Tensor) -> str:
    if before:
        return f'{100 * (after / before - 1):+.2f}'
    return 'new' if after else '-'


def _cells(coarse: torch.Tensor, refined: torch.Tensor) -> list[str]:
    before, after = float(coarse) * 100, float(refined) * 100
    return ['-' if figure != figure else form.format(figure) for figure, form in
            ((before, '{:.2f}'), (after, '{:.2f}'), (after - before, '{:+.2f}'))]  # fmt: skip


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first flush left, the others right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return '\n'.join(
        '  '.join(
            cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    )
