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
    return build_report(read_records(report), ClassList.of(class_names).labels)


def read_records(report: dict[str, Any]) -> list[ImageRecord]:
    """The records in `OUT/report.json`; raises ValueError if they are of an earlier version."""
    return [ImageRecord.from_dict(image) for image in report['images']]


def make_table(
    report: dict[str, Any], class_names: Sequence[ClassName], *, found: EvaluationReport | None = None
) -> str:
    """Pixels before and after, and, where there is a truth, IoU, means and gains.

    Args:
        report: as for `evaluate`.
        class_names: likewise.
        found: what that returns, where it was called already: its intervals take time.
    """
    found = found or evaluate(report, class_names)
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
    if nested := report.get('nested_masks'):  # reports of earlier versions have no such entry
        lines.append(f'{len(nested)} masks in folders left out, such as {nested[0]}: refine each folder by itself')
    return '\n'.join(lines)
