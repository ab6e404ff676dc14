"""The files of a report."""

from pathlib import Path

from mmseg_g4seg.io.atomic import atomic_write

from .json_csv import as_json, classes_csv, images_csv
from .report import EvaluationReport
from .table import as_text


def write_report(report: EvaluationReport, folder: Path) -> None:
    """Writes `metrics.json`, `classes.csv`, `images.csv` and `table.txt`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / 'classes.csv', classes_csv(report))
    atomic_write(folder / 'images.csv', images_csv(report))
    atomic_write(folder / 'metrics.json', as_json(report))
    atomic_write(folder / 'table.txt', as_text(report) + '\n')
