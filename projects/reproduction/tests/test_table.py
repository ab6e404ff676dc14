import json
import sys

from projects.reproduction.paper import ConfigRun, Row, Table, find_table
from projects.reproduction.plans import Plan, plan_row
from projects.reproduction.runs import run_plan
from projects.reproduction.table import as_csv, as_markdown, fill
from projects.reproduction.tests.setting import places


def test_a_table_of_runs_that_cannot_be_made(tmp_path):
    table = find_table('other-models')
    rows = fill(table, [plan_row(row, places(tmp_path)) for row in table.rows])
    assert rows[0][:4] == ('OVAM, VOC', 'mIoU', '61.2', '62.1')
    assert rows[0][4:] == ('-', '-', '-', "no run: scores of OVAM's own code, for SavedScoresSegmentor")
    gains = find_table('VII')
    # 0.75 is the paper's: with one digit it would be another figure
    assert [cells[3] for cells in fill(gains, [None] * len(gains.rows))][3:6] == ['0.75', '4.2', '4.1']
    assert as_csv(rows).count('\n') == len(rows) + 1
    assert as_markdown(rows).splitlines()[2].startswith('| OVAM, VOC | mIoU | 61.2 | 62.1 |')


def evaluated(tmp_path, gain: dict, figures: tuple = (42.1, 43.0)) -> tuple[str, ...]:
    """Cells of a row whose evaluation left these figures."""
    report = {'coarse': {'mIoU': figures[0]}, 'refined': {'mIoU': figures[1]}, 'gain': gain}
    plan = Plan(
        [sys.executable, '-c', f'open("metrics.json", "w").write({json.dumps(report)!r})'],
        [],
        tmp_path / 'run',
        tmp_path / 'metrics.json',
        {},
    )
    assert run_plan(plan)
    return fill(Table('one', (Row('row', 42.2, 42.9, ConfigRun('config.py')),)), [plan])[0]


def test_the_gain_is_the_reports_own(tmp_path):
    cells = evaluated(tmp_path, {'mIoU': 0.89, 'interval': [0.5, 1.25]})
    assert cells == ('row', 'mIoU', '42.2', '42.9', '42.10', '43.00', '+0.89 [+0.50, +1.25]', 'measured')


def test_figures_that_are_not_known(tmp_path):
    assert evaluated(tmp_path, {'mIoU': 0.89, 'interval': [None, None]})[6] == '+0.89'


def test_no_labelled_pixel(tmp_path):
    cells = evaluated(tmp_path, {'mIoU': None, 'interval': [None, None]}, (None, None))
    assert cells[4:] == ('-', '-', '-', 'measured')
