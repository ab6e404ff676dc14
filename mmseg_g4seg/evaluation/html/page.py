"""One self-contained page of a run: what `metrics.json` has, with charts and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.report import BOUNDARY, REFINE

from .charts import Scale, axis, bar, image_bars
from .figures import Figures, as_text
from .notes import RunNotes
from .pictures import Picture

FOLDER = Path(__file__).parent
MOST_CLASSES = 30
"""Rows of a chart; of more classes, those in the middle fold away."""
MOST_IMAGES = 500
"""Rows of the table of images; of more, those in the middle are in `images.csv` alone."""


@dataclass(frozen=True)
class ClassChart:
    """Gains of classes as bars.

    Attributes:
        key: of the gain in `metrics.json`.
        figure: of a class, that is shown before and after.
        gained: figure that the gain is in.
        names: of the classes, the largest gain first; those without a gain last.
        scale: of the bars.
    """

    key: str
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
    charts = [_class_chart(metrics, 'gain', lead, 'IoU')]
    if 'boundary_gain' in metrics:
        charts.append(_class_chart(metrics, 'boundary_gain', BOUNDARY, BOUNDARY))
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
        bin_scale=Scale.over(
            [entry['gain'] for entry in metrics['gain']['by_initial_iou'] if entry['gain'] is not None]
        ),
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
    environment.globals.update(axis=axis, bar=bar, ends=_ends, as_text=as_text, most_classes=MOST_CLASSES)
    for name in ('style.css', 'compare.js'):
        environment.globals[name.replace('.', '_')] = Markup((FOLDER / name).read_text())
    return environment


def _stages(metrics: Mapping[str, Any]) -> list[str]:
    """Names of the stages, the coarse mask's first."""
    named = [key for key, value in metrics.items() if isinstance(value, Mapping) and 'classes' in value]
    return [key for key in named if key not in ('gain', 'boundary_gain')]


def _gain(image: Mapping[str, Any]) -> float | None:
    return None if image[COARSE] is None else image[REFINED] - image[COARSE]


def _class_chart(metrics: Mapping[str, Any], key: str, figure: str, gained: str) -> ClassChart:
    classes = metrics[key]['classes']
    gains = {name: entry[gained] for name, entry in classes.items()}
    names = sorted(gains, key=lambda name: (gains[name] is None, -(gains[name] or 0)))
    bounds = [bound for entry in classes.values() for bound in (entry[gained], *entry['interval'])]
    return ClassChart(key, figure, gained, names, Scale.over([bound for bound in bounds if bound is not None]))


def _ends(rows: Sequence[Any], most: int) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """The first rows, those in the middle, the last; without a middle where there are no more than `most`."""
    if len(rows) <= most:
        return rows, (), ()
    return rows[: most // 2], rows[most // 2 : -(most // 2)], rows[-(most // 2) :]
