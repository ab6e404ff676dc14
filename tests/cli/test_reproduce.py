import subprocess
import sys

from mmseg_g4seg.cli import reproduce
from tests.conftest import ROOT


def test_in_a_clone_from_any_folder(tmp_path, monkeypatch):
    seen = {}

    def run(command, *, env, check):
        seen.update(command=command, env=env)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, 'run', run)
    monkeypatch.setenv('PYTHONPATH', '/else')
    assert reproduce.main(['supervised', '--dry-run']) == 3
    assert seen['command'] == [sys.executable, '-m', 'projects.reproduction', 'supervised', '--dry-run']
    assert seen['env']['PYTHONPATH'].split(':') == [str(ROOT), '/else']
    assert (ROOT / 'projects/reproduction/__main__.py').is_file()


def test_of_a_wheel(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reproduce, 'CLONE', tmp_path)
    assert reproduce.main([]) == 1
    assert capsys.readouterr().err.startswith('error: expected a clone of the repository')
