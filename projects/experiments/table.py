"""One row a run (a row a stage for chains): gain, interval, images better and worse, boundary, seconds."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

import torch

from mmseg_g4seg.evaluation.statistics import INITIAL_IOU_BINS, compare

from .plan import ImageSet, Run
from .run import COARSE

Half = Literal['all', 'even', 'odd']
"""Images by their place in the order of names: settings are chosen on one half, reported on the other."""

COLUMNS = (
    'set',
    'run',
    'images',
    'coarse',
    'refined',
    'gain',
    'low',
    'high',
    'better',
    'worse',
    *(f'gain_{low}_{high}' for low, high in INITIAL_IOU_BINS),
    'boundary_coarse',
    'boundary_gain',
    'boundary_low',
    'boundary_high',
    'seconds',
)


def choose_half(names: Sequence[str], half: Half) -> list[str]:
    """Names of a half."""
    return list(names if half == 'all' else names[0::2] if half == 'even' else names[1::2])


def make_rows(
    run: Run,
    image_set: ImageSet,
    results: dict[str, dict[str, Any]],
    names: Sequence[str],
    *,
    against: dict[str, dict[str, Any]] | None = None,
    block: int = 1,
) -> list[dict[str, Any]]:
    """Rows of one run over the images named, those that have no result left out.

    Args:
        run: of the rows.
        image_set: of the run.
        results: of the run, by image.
        names: of the images.
        against: results of another run, whose masks take the coarse ones' place.
        block: neighbouring images that the bootstrap draws together, see `bootstrap_interval`.
    """
    lines = [results[name] for name in names if name in results and (against is None or name in against)]
    if not lines:
        return []
    baseline = lines if against is None else [against[line['image']] for line in lines]
    start = COARSE if against is None else list(baseline[0]['areas'])[-1]
    stages = [stage for stage in lines[0]['areas'] if stage != COARSE]
    counted = image_set.counted_classes()
    rows = []
    for i, stage in enumerate(stages):
        plain, border = (
            compare(_areas(baseline, kind, start), _areas(lines, kind, stage), counted, block=block)
            for kind in ('areas', 'boundary')
        )
        figures = [
            plain.before,
            plain.after,
            plain.gain,
            *plain.interval,
            plain.better,
            plain.worse,
            *(gain for gain, _ in plain.by_initial_iou),
            border.before,
            border.gain,
            *border.interval,
            sum(sum(line['seconds'][s] for s in stages[: i + 1]) for line in lines) / len(lines),
        ]
        label = run.name if i + 1 == len(stages) else f'{run.name}: {stage}'
        rows.append(dict(zip(COLUMNS, [image_set.name, label, len(lines), *figures], strict=True)))
    return rows


def _areas(lines: Sequence[dict[str, Any]], kind: str, stage: str) -> torch.Tensor:
    return torch.tensor([line[kind][stage] for line in lines])


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """All columns, four digits."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows({k: f'{v:.4f}' if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return buffer.getvalue()


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The columns that tables in documents show."""
    header = ['set', 'run', 'images', 'coarse', 'refined', 'gain', '95 % interval', 'better / worse',
              'gain from 0-40, 40-80, 80-100', 'boundary IoU', 'seconds']  # fmt: skip
    lines = ['| ' + ' | '.join(header) + ' |', '|' + '---|' * len(header)]
    for r in rows:
        cells = [
            r['set'],
            r['run'],
            str(r['images']),
            f'{r["coarse"]:.2f}',
            f'{r["refined"]:.2f}',
            f'{r["gain"]:+.2f}',
            f'[{r["low"]:+.2f}, {r["high"]:+.2f}]',
            f'{r["better"]} / {r["worse"]}',
            ', '.join(f'{r[f"gain_{low}_{high}"]:+.1f}'.replace('+nan', '-') for low, high in INITIAL_IOU_BINS),
            f'{r["boundary_gain"]:+.2f} [{r["boundary_low"]:+.2f}, {r["boundary_high"]:+.2f}]',
            f'{r["seconds"]:.2f}',
        ]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'
