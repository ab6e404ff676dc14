"""The table and the summary of a run over a folder."""

from collections.abc import Sequence
from typing import Any

from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.records import ImageRecord
from mmseg_g4seg.evaluation.report import REFINE, EvaluationReport
from mmseg_g4seg.evaluation.table import changes_line, gain_text, mean_table, pixel_table, seconds_line
from mmseg_g4seg.prediction import ClassList, ClassName


def evaluate(report: dict[str, Any], class_names: Sequence[ClassName]) -> EvaluationReport:
    """Sums up the masks of a run.

    Args:
        report: as in `OUT/report.json`, an `ImageRecord` a mask under `images`.
        class_names: C names.

    Raises:
        ValueError: if the records are of an earlier version.
    """
    records = [ImageRecord.from_dict(image) for image in report['images']]
    return build_report(records, ClassList.of(class_names).labels)


def make_table(report: dict[str, Any], class_names: Sequence[ClassName]) -> str:
    """Pixels before and after, and, where there is a truth, IoU, means and gains; arguments as for `evaluate`."""
    found = evaluate(report, class_names)
    parts = [pixel_table(found), '']
    if found.gain is not None:
        parts += [mean_table(found), changes_line(found), gain_text(found), '']
    # records of a run that an earlier version began have none
    if found.seconds[REFINE]:
        parts += [seconds_line(found), '']
    return '\n'.join([*parts, summarise(report)])


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
