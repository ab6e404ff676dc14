"""One row a run (a row a stage for chains): gain, interval, images better and worse, boundary, seconds."""

from collections.abc import Sequence
from typing import Any, Literal

from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.records import COARSE, REFINED, ImageRecord
from mmseg_g4seg.evaluation.report import REFINE, EvaluationReport
from mmseg_g4seg.evaluation.rows import csv_text, markdown
from mmseg_g4seg.evaluation.statistics import INITIAL_IOU_BINS, Comparison

from .plan import ImageSet, Run

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


def build_set_report(image_set: ImageSet, records: Sequence[ImageRecord], **options: Any) -> EvaluationReport:
    """The report of a run over a set; options as for `build_report`."""
    labels = image_set.reader().classes.labels
    return build_report(records, labels, classes=image_set.counted_classes(), **options)


def make_rows(
    run: Run,
    image_set: ImageSet,
    results: dict[str, ImageRecord],
    names: Sequence[str],
    *,
    against: dict[str, ImageRecord] | None = None,
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
    records = [results[name] for name in names if name in results and (against is None or name in against)]
    if not records:
        return []
    masks = None if against is None else [against[record.name] for record in records]
    report = build_set_report(image_set, records, against=masks, block=block)
    seconds = [value for stage, value in report.seconds.items() if stage not in (COARSE, REFINE)]
    rows = []
    for i, (stage, gain) in enumerate(report.gains.items()):
        label = run.name if stage == REFINED else f'{run.name}: {stage}'
        figures = [*_figures(gain, report.boundary_gains[stage]), sum(seconds[: i + 1])]
        rows.append(dict(zip(COLUMNS, [image_set.name, label, len(records), *figures], strict=True)))
    return rows


def _figures(gain: Comparison, boundary: Comparison) -> list[float]:
    """From `coarse` to `boundary_high` of `COLUMNS`."""
    by_bin = [mean for mean, _ in gain.by_initial_iou]
    totals = [gain.before, gain.after, gain.gain, *gain.interval, gain.better, gain.worse, *by_bin]
    return [*totals, boundary.before, boundary.gain, *boundary.interval]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """All columns, four digits."""
    cells = [[f'{row[k]:.4f}' if isinstance(row[k], float) else row[k] for k in COLUMNS] for row in rows]
    return csv_text([COLUMNS, *cells])


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The columns that tables in documents show."""
    header = ['set', 'run', 'images', 'coarse', 'refined', 'gain', '95 % interval', 'better / worse',
              'gain from 0-40, 40-80, 80-100', 'boundary IoU', 'seconds']  # fmt: skip
    lines = [header]
    for r in rows:
        cells = [
            r['set'],
            r['run'],
            str(r['images']),
            f'{r["coarse"]:.2f}',
            f'{r["refined"]:.2f}',
            f'{r["gain"]:+.2f}',
            f'[{r["low"]:+.2f}, {r["high"]:+.2f}]'.replace('+nan', '-'),
            f'{r["better"]} / {r["worse"]}',
            ', '.join(f'{r[f"gain_{low}_{high}"]:+.1f}'.replace('+nan', '-') for low, high in INITIAL_IOU_BINS),
            f'{r["boundary_gain"]:+.2f} [{r["boundary_low"]:+.2f}, {r["boundary_high"]:+.2f}]'.replace('+nan', '-'),
            f'{r["seconds"]:.2f}',
        ]
        lines.append(cells)
    return markdown(lines)
