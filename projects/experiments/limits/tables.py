"""The tables of all questions, in Markdown: one a question, a row a set (a row an update for the gains)."""

from typing import Any

from mmseg_g4seg.evaluation.rows import markdown

from .prior_knowledge import ANSWERS
from .shares import Share

Report = dict[str, Any]
"""Of one set, see `measure_limits`."""


def as_tables(reports: dict[str, Report]) -> str:
    """Markdown tables of all questions, of the sets by name."""
    sections = {
        'Who picks the true one of the two best classes, per cent of the pixels asked': _knowledge,
        'Calibrated sharpness, and log-likelihood of the truth': _calibration,
        'mIoU gain over the coarse masks, images better/worse': _gains,
    }
    return '\n'.join(f'{title}:\n\n{table(reports)}' for title, table in sections.items())


def _knowledge(reports: dict[str, Report]) -> str:
    header = ['set', 'images', 'uncertain pixels', 'asked', *ANSWERS, 'gain of together over coarse']
    rows = []
    for name, report in reports.items():
        known = report['knowledge']
        shares = [_share(known['share'][answer]) for answer in ANSWERS]
        pixels = [str(known['uncertain']), f'{known["asked"]} ({_percent(known["asked"], known["uncertain"])})']
        rows.append([name, str(report['images']), *pixels, *shares, _share(known['gain'], signed=True)])
    return markdown([header, *rows])


def _calibration(reports: dict[str, Report]) -> str:
    header = ['set', 'sharpness', 'pixels', 'at 0', "at the config's", 'calibrated']
    rows = []
    for name, report in reports.items():
        found = report['calibration']
        likelihoods = [_figure(found[key], '{:.4f}') for key in ('at_zero', 'at_config', 'calibrated')]
        rows.append([name, ', '.join(f'{s:.1f}' for s in found['sharpness']), str(found['pixels']), *likelihoods])
    return markdown([header, *rows])


def _gains(reports: dict[str, Report]) -> str:
    updates = list(dict.fromkeys(update for report in reports.values() for update in report['gains']))
    rows = [[update, *(_gain(report['gains'].get(update)) for report in reports.values())] for update in updates]
    return markdown([['update', *reports], *rows])


def _gain(compared: dict[str, Any] | None) -> str:
    """Of an update; not every set has every one."""
    if compared is None:
        return '-'
    low, high = compared['interval']
    return f'{compared["gain"]:+.2f} [{low:+.2f}, {high:+.2f}] {compared["better"]}/{compared["worse"]}'


def _share(found: Share, *, signed: bool = False) -> str:
    form = '{:+.1f}' if signed else '{:.1f}'
    share, low, high = (_figure(found[key], form) for key in ('share', 'low', 'high'))
    return f'{share} [{low}, {high}]'


def _figure(value: float | None, form: str) -> str:
    return '-' if value is None else form.format(value)


def _percent(part: int, whole: int) -> str:
    return f'{100 * part / whole:.0f} %' if whole else '-'
