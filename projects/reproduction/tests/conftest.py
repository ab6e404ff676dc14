import subprocess
from types import SimpleNamespace

import huggingface_hub.constants
import pytest
from mmengine.registry import init_default_scope

from projects.reproduction import runs
from tests.scripts import run_command


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Data, checkpoints and the hub's cache are looked for below an empty folder."""
    init_default_scope('mmseg')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))


@pytest.fixture
def runs_in_this_process(monkeypatch):
    """Runs of plans start no process; what a real one leaves is tested in `test_runs.py`."""
    monkeypatch.setattr(runs, 'subprocess', SimpleNamespace(run=run_command, STDOUT=subprocess.STDOUT))
