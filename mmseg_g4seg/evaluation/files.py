"""The files of a report."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.storage import AnyPath

from .html.notes import RunNotes
from .html.page import render_page
from .html.pictures import Picture
from .json_csv import as_dict, as_json, classes_csv, images_csv
from .report import EvaluationReport
from .table import as_text

METRICS, PAGE, PAGE_DATA = 'metrics.json', 'report.html', 'report_data.json'
"""The last has what the page shows beside the metrics: notes of the run, and its pictures."""


def write_report(
    report: EvaluationReport, folder: Path, *, notes: RunNotes | None = None, pictures: Sequence[Picture] = ()
) -> None:
    """Writes `metrics.json`, `classes.csv`, `images.csv`, `table.txt` and `report.html`, each whole or not at all.

    Args:
        report: of a run with a truth.
        folder: that they go into.
        notes: of the run, for the page; only a title when not given.
        pictures: for the page, see `Extremes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / 'classes.csv', classes_csv(report))
    atomic_write(folder / 'images.csv', images_csv(report))
    atomic_write(folder / 'table.txt', as_text(report) + '\n')
    write_page(report, folder, notes=notes, pictures=pictures)


def write_page(
    report: EvaluationReport,
    folder: AnyPath,
    *,
    notes: RunNotes | None = None,
    pictures: Sequence[Picture] = (),
    scratch: AnyPath | None = None,
) -> None:
    """Writes `metrics.json` and, of a run with a truth, `report.html` and what is needed to write that again.

    Arguments as for `write_report`; `scratch` as for `atomic_write`.
    """
    atomic_write(folder / METRICS, as_json(report), scratch=scratch)
    if report.gain is None:
        return
    notes = notes or RunNotes(folder.resolve().name)
    data = {'notes': asdict(notes), 'pictures': [asdict(picture) for picture in pictures]}
    atomic_write(folder / PAGE_DATA, json.dumps(data, indent=1) + '\n', scratch=scratch)
    atomic_write(folder / PAGE, render_page(as_dict(report), notes, pictures), scratch=scratch)


def render_again(folder: Path) -> Path:
    """Writes `report.html` of a run once more, from `metrics.json` and, where it is there, `report_data.json`.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: if there is no `metrics.json`.
        ValueError: if it is of another program or version.
    """
    metrics = _read(folder / METRICS)
    data = _read(folder / PAGE_DATA) if (folder / PAGE_DATA).is_file() else {'pictures': []}
    try:
        notes = RunNotes(**data['notes']) if 'notes' in data else RunNotes(folder.resolve().name)
        page = render_page(metrics, notes, [Picture(**picture) for picture in data['pictures']])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{folder}: expected the files of a run of this version, got others ({error!r})') from error
    atomic_write(folder / PAGE, page)
    return folder / PAGE


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: expected the folder of a run that measured masks against labels')
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path}: expected JSON, got something else ({error})') from error
