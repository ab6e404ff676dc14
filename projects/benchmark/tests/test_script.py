"""The benchmark as a command."""

import importlib.util
import json
import sys

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / 'projects/benchmark/__main__.py'


@pytest.fixture
def call(monkeypatch):
    """Calls the script's main in this process."""
    spec = importlib.util.spec_from_file_location('benchmark_script', SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def main(*arguments):
        monkeypatch.setattr(sys, 'argv', ['benchmark.py', *map(str, arguments)])
        return script.main()

    return main


def test_script(call, capsys, tmp_path):
    skip = ['--skip', 'cascade-psp', 'dense-crf', 'joint', 'loop', 'injection']
    assert call('tiny', '--size', 32, '--classes', 2, '--repeats', 1, '--json', tmp_path / 'all.json', *skip) == 0
    assert 'Time of one image' in capsys.readouterr().out
    assert [cost['path'] for cost in json.loads((tmp_path / 'all.json').read_text())['paths']] == ['batched']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['sd9'], "error: architecture: expected one of ['flux-dev',"),
        (['tiny', '--size', '40'], 'error: image_size: this prior takes positive multiples of 16'),
        (['tiny', '--classes', 'four'], "invalid int value: 'four'"),
        (['tiny', '--device', 'cuda:99'], 'error: device: this machine has'),
        (['tiny', '--json', 'no/such/folder/x.json'], 'error: --json: there is no folder no/such/folder'),
    ],
)
def test_script_says_what_is_wrong(call, capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as stop:
        call('--json', tmp_path / 'x.json', *arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
