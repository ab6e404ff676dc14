"""One self-contained page of a run: what `metrics.json` has, with charts and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.report import REFINE

from .charts import Scale, axis, bar, image_bars
from .figures import Figures, as_text
from .notes import RunNotes
from .pictures import Picture

FOLDER = Path(__file__).parent
MOST_CLASSES = 30
"""Rows of a chart; of more classes, those in the middle fold away."""
MOST_IMAGES = 500
"""Rows of the table of images; of more, those in the middle are in `images.csv` alone."""


TITLES = {'mIoU': 'Mean IoU', 'mBIoU': 'Boundary IoU', 'AP': 'Mask AP'}
"""What a reader calls the means whose short names do not say it; PQ and others go by their own."""


@dataclass(frozen=True)
class ClassChart:
    """A gain, and those of the classes as bars.

    Attributes:
        key: of the gain in `metrics.json`.
        mean: its name there, such as `mIoU`.
        title: the mean as a reader calls it.
        shown: the mean that is shown before and after; the leading one where gains are of another figure.
        figure: of a class, likewise.
        gained: figure that the classes' gains are in.
        names: of the classes, the largest gain first; those without a gain last.
        scale: of the bars.
    """

    key: str
    mean: str
    title: str
    shown: str
    figure: str
    gained: str
    names: Sequence[str]
    scale: Scale


def render_page(metrics: Mapping[str, Any], notes: RunNotes, pictures: Sequence[Picture] = ()) -> str:
    """The page as HTML; it needs no other file, no network and no JavaScript.

    Args:
        metrics: content of `metrics.json` of a run with a truth, see `as_dict`.
        notes: of the run.
        pictures: to show, the largest changes first.

    Raises:
        ValueError: if the run has no truth.
    """
    if 'gain' not in metrics:
        raise ValueError(f'expected the metrics of a run with labels, with its gain, got {sorted(metrics)}')
    images = [(_gain(image), i) for i, image in enumerate(metrics['images'])]
    ranked = sorted(((gain, i) for gain, i in images if gain is not None), key=lambda entry: -entry[0])
    lead = next(iter(metrics[COARSE]['classes']))
    charts = [_class_chart(metrics, key, lead) for key, value in metrics.items() if _is_gain(value)]
    seconds = {name: value for name, value in metrics['seconds'].items() if name != REFINE}
    template = _environment().get_template('page.html.jinja')
    page = template.render(
        metrics=metrics,
        notes=notes,
        pictures=[
            ('Gained most', [p for p in pictures if p.gain > 0]),
            ('Lost most', [p for p in pictures if p.gain < 0]),
        ],
        figure=Figures(metrics),
        stages=_stages(metrics),
        lead=lead,
        charts=charts,
        # within a sentence: PQ stays in capitals
        measured={'mIoU': 'mean IoU', 'AP': 'mask AP'}.get(charts[0].mean, charts[0].mean),
        bin_scale=Scale.over([entry['gain'] for entry in _bins(metrics) if entry['gain'] is not None]),
        bins=_bins(metrics),
        seconds=list(seconds),
        total_seconds=sum(seconds.values()),
        ranked=ranked,
        image_chart=image_bars([(metrics['images'][i]['name'], gain) for gain, i in ranked]) if ranked else '',
        image_rows=_ends([i for _, i in ranked] + [i for gain, i in images if gain is None], MOST_IMAGES),
    )
    return page.lstrip()


@cache
def _environment() -> Environment:
    # autoescape: names of classes and images are the user's, and may hold < and &
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        axis=axis, bar=bar, ends=_ends, as_text=as_text, gain_of=_gain, most_classes=MOST_CLASSES
    )
    for name in ('style.css', 'compare.js'):
        environment.globals[name.replace('.', '_')] = Markup((FOLDER / name).read_text())
    return environment


def _stages(metrics: Mapping[str, Any]) -> list[str]:
    """Names of the stages, the coarse mask's first."""
    named = [key for key, value in metrics.items() if isinstance(value, Mapping) and 'classes' in value]
    return [key for key in named if not _is_gain(metrics[key])]


def _is_gain(value: Any) -> bool:
    return isinstance(value, Mapping) and 'interval' in value


def _bins(metrics: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Gains by initial IoU; of label maps alone."""
    return metrics['gain'].get('by_initial_iou', ())


def _gain(image: Mapping[str, Any]) -> float | None:
    # either alone: refining may leave no segment in an image whose truth is a crowd, and that has no PQ
    return None if None in (image[COARSE], image[REFINED]) else image[REFINED] - image[COARSE]


def _class_chart(metrics: Mapping[str, Any], key: str, lead: str) -> ClassChart:
    mean, classes = next(iter(metrics[key])), metrics[key]['classes']
    gained = mean.removeprefix('m')
    gains = {name: entry[gained] for name, entry in classes.items()}
    names = sorted(gains, key=lambda name: (gains[name] is None, -(gains[name] or 0)))
    bounds = [bound for entry in classes.values() for bound in (entry[gained], *entry['interval'])]
    # label maps that lead with Dice have gains of IoU beside them
    shown, figure = (mean, gained) if mean in metrics[COARSE] else (f'm{lead}', lead)
    title = TITLES.get(mean, mean) if shown == mean else f'Mean {lead}'
    scale = Scale.over([bound for bound in bounds if bound is not None])
    return ClassChart(key, mean, title, shown, figure, gained, names, scale)


def _ends(rows: Sequence[Any], most: int) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """The first rows, those in the middle, the last; without a middle where there are no more than `most`."""
    if len(rows) <= most:
        return rows, (), ()
    return rows[: most // 2], rows[most // 2 : -(most // 2)], rows[-(most // 2) :]
