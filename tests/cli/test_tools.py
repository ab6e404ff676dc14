"""The tools of a clone are doors: arguments and work are the package's."""

from pathlib import Path

import pytest

pytest.importorskip('mmseg')

from tests.conftest import ROOT
from tests.scripts import run_script

TOOLS = sorted(path.relative_to(ROOT) for path in (ROOT / 'tools').rglob('*.py'))


@pytest.mark.parametrize('path', TOOLS, ids=str)
def test_help_opens_with_what_the_tool_does(path):
    result = run_script(path, '--help')
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f'usage: {path.name} ')
    assert result.stdout.split('\n\n')[1].strip(), 'no description'


@pytest.mark.parametrize('path', TOOLS, ids=str)
def test_a_door_is_a_few_lines(path: Path):
    lines = [line for line in (ROOT / path).read_text().splitlines() if line.strip()]
    assert len(lines) <= 5
    assert 'from mmseg_g4seg.cli.command import run' in lines
