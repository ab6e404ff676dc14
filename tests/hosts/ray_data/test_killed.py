"""A run that is disturbed at random moments: RAY_KILLS=20 python -m pytest tests/hosts/ray_data/test_killed.py -s"""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

RUNS, KILLS = Path(__file__).with_name('runs.py'), int(os.environ.get('RAY_KILLS', 0))


@pytest.mark.skipif(not KILLS, reason='takes minutes: RAY_KILLS says how often')
def test_killed_at_random_moments(nodes: Any, tmp_path: Path) -> None:
    """An actor, a node and the driver in turn; the results are those of one undisturbed process, byte for byte."""
    from tests.hosts.ray_data.runs import WatchedRun, wait_for

    run, generator, kinds = WatchedRun.make(tmp_path, count=8 * KILLS, seconds=0.2), random.Random(KILLS), Counter()
    (tmp_path / 'task').write_bytes(pickle.dumps(run.task))

    def start() -> subprocess.Popen:
        command = [sys.executable, str(RUNS), str(tmp_path / 'task'), nodes.address, '2']
        return subprocess.Popen(command, env={**os.environ, 'PYTHONPATH': str(ROOT)}, stderr=subprocess.DEVNULL)

    def results() -> int:
        return len(list(run.task.out.glob('*.png')))

    def newest() -> int:
        notes = sorted(run.notes.iterdir(), key=lambda path: path.stat().st_mtime)
        return int(notes[-1].name.split('.')[-2])

    driver = start()
    try:
        while sum(kinds.values()) < KILLS:
            enough = results() + generator.randint(1, 4)
            wait_for(lambda enough=enough, driver=driver: results() >= enough or driver.poll() is not None)
            assert driver.poll() is None, f'the run ended after {kinds}'
            kind = ('actor', 'node', 'driver')[sum(kinds.values()) % 3]
            if kind == 'actor':
                with suppress(ProcessLookupError):
                    os.kill(newest(), signal.SIGKILL)
            elif kind == 'node':
                nodes.remove_node(generator.choice(sorted(nodes.worker_nodes, key=str)), allow_graceful=False)
                nodes.add_node(num_cpus=2, object_store_memory=100 * 2**20, include_dashboard=False)
            else:
                driver.kill()
                driver.wait()
                driver = start()
            kinds[kind] += 1
            print(f'{sum(kinds.values())}: {kind}, {results()} results', flush=True)
        assert driver.wait() == 0
    finally:
        driver.kill()
    report = json.loads((run.task.out / 'report.json').read_text())
    assert report['errors'] == []
    assert run.outcome(report) == run.undisturbed()
