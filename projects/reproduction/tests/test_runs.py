import json
import sys

import pytest

from projects.reproduction.paper import ConfigRun, Row, Table
from projects.reproduction.plans import Plan
from projects.reproduction.runs import read_figures, run_plan
from projects.reproduction.table import fill

REPORT = {'coarse': {'mIoU': 42.1}, 'refined': {'mIoU': 43.0}, 'gain': {'mIoU': 0.9, 'interval': [0.5, 1.25]}}
WRITE = f"""
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.joinpath('metrics.json').write_text({json.dumps(REPORT)!r})
folder.joinpath('times.txt').open('a').write('once ')
"""


def evaluation(tmp_path, *, settings: str = 'beta = 0.8', script: str = WRITE) -> Plan:
    """A plan whose command writes the figures and counts its runs."""
    folder = tmp_path / 'row'
    command = [sys.executable, '-c', script, str(folder)]
    return Plan(command, [], folder, folder / 'metrics.json', {'settings.py': settings})


def state(plan: Plan) -> str:
    return fill(Table('one', (Row('row', None, None, ConfigRun('config.py')),)), [plan])[0][-1]


def times(plan: Plan) -> int:
    return (plan.folder / 'times.txt').read_text().count('once')


def test_a_run_is_made_once(tmp_path):
    plan = evaluation(tmp_path)
    assert (read_figures(plan), state(plan)) == (None, 'ready')
    assert run_plan(plan)
    assert run_plan(plan)
    assert times(plan) == 1
    assert read_figures(plan).refined == 43.0


@pytest.mark.parametrize('change', [{'settings': 'beta = 0.9'}, {'script': WRITE + '# other'}])
def test_other_files_or_another_command_are_another_run(tmp_path, change):
    first, other = evaluation(tmp_path), evaluation(tmp_path, **change)
    assert run_plan(first)
    assert read_figures(other) is None
    assert state(other) == 'ready'
    assert run_plan(other)
    assert times(other) == 1
    assert (tmp_path / 'row.1/metrics.json').is_file(), 'the first results are set aside'
    assert read_figures(first) is None


def test_a_failed_run_does_not_pass_for_that_of_other_settings(tmp_path):
    """The figures of the first command still lay in the folder."""
    assert run_plan(evaluation(tmp_path))
    other = evaluation(tmp_path, script='raise SystemExit(1)')
    assert not run_plan(other)
    assert state(other) == f'failed: {tmp_path / "row/log.txt"}'


DAMAGES = {
    'missing': None,
    'empty': '',
    'cut short': json.dumps(REPORT)[:40],
    'of another make': '[1]',
    'without a gain': json.dumps({**REPORT, 'gain': {}}),
    'no text': b'\xff\xfe',
}


@pytest.mark.parametrize('content', DAMAGES.values(), ids=DAMAGES)
def test_damaged_figures_are_said_and_made_again(tmp_path, content):
    plan = evaluation(tmp_path)
    assert run_plan(plan)
    plan.figures.unlink()
    if content is not None:
        plan.figures.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_figures(plan) is None
    assert state(plan) == f'no figures: {plan.figures} is missing or damaged; run again'
    assert run_plan(plan)
    assert (times(plan), state(plan)) == (1, 'measured')


@pytest.mark.parametrize('content', ['', '[]', '{"command": []}'])
def test_a_damaged_record_is_none(tmp_path, content):
    plan = evaluation(tmp_path)
    assert run_plan(plan)
    (plan.folder / 'run.json').write_text(content)
    assert read_figures(plan) is None
    assert run_plan(plan)
