"""The GPU's script, whole and in miniature, on the CPU; and what becomes of parts that fail or take too long."""

import json
import os
import subprocess
import time

import pytest
import torch

from projects.benchmark import gpu
from projects.benchmark.cases import class_names, make_case
from projects.benchmark.gpu import PARTS, Setting, run_parts
from projects.benchmark.options import BenchmarkOptions
from projects.benchmark.variants import VARIANTS, format_variants, measure_variants
from tests.conftest import ROOT
from tests.fork_server import python_command


@pytest.mark.slow
def test_the_script_in_miniature(tmp_path):
    environment = {**os.environ, 'MINIATURE': '1', 'PYTHON': python_command()}
    done = subprocess.run(
        [ROOT / 'projects/benchmark/gpu.sh', tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert list(figures) == list(PARTS)
    assert all(part['state'].startswith('done') for part in figures.values())
    assert {path['path'] for path in figures['sd21']['figures']['paths']} == {'batched', 'loop'}
    assert [variant['variant'] for variant in figures['compiled']['figures']] == list(VARIANTS)
    assert '1 passed' in figures['tests']['table']
    table = (tmp_path / 'table.md').read_text()
    assert 'Time of one image' in table
    assert {path.name for path in tmp_path.iterdir()} == {'figures.json', 'table.md', 'tests.txt'}


@pytest.fixture
def parts(monkeypatch):
    """Parts that are quick; the library is not loaded beforehand."""
    monkeypatch.setattr(gpu, 'open_prior', lambda *_, **__: None)

    def fail(name, setting):
        setting.keep(name, table='the first figure')
        raise ValueError('no such kernel')

    def hang(name, setting):
        setting.keep(name, table='half of it')
        time.sleep(3600)

    known = {'fails': (fail, 900), 'hangs': (hang, 9), 'goes on': (lambda *_: None, 900)}
    monkeypatch.setattr(gpu, 'PARTS', known)
    return known


@pytest.mark.slow
def test_what_fails_or_hangs_is_noted_and_the_next_goes_on(parts, tmp_path):
    assert run_parts(list(parts), Setting(tmp_path, 'cpu'), seconds=3000) == ['fails', 'hangs']
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert figures['fails']['state'] == 'failed (ValueError: no such kernel)'
    assert figures['fails']['table'] == 'the first figure'
    assert figures['hangs'] == {'state': 'cut off after 9 s', 'table': 'half of it'}
    assert figures['goes on']['state'].startswith('done')
    assert '## hangs: cut off' in (tmp_path / 'table.md').read_text()


def test_no_part_begins_when_time_is_up(parts, tmp_path):
    assert run_parts(list(parts), Setting(tmp_path, 'cpu'), seconds=0) == list(parts)
    assert 'not begun, no time was left' in (tmp_path / 'table.md').read_text()


def test_all_parts_end_within_nine_minutes():
    assert sum(seconds for name, (_, seconds) in PARTS.items() if name != 'compiled') < 520
    assert list(PARTS)[-1] == 'compiled', 'it has what the others leave'


@pytest.mark.slow
def test_a_variant_that_fails_says_why(monkeypatch):
    """Without a GPU there are no graphs; compiled blocks are those of the back-end here."""
    own = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self, **options: own(self, backend='eager', **options))
    prior = gpu.open_prior('tiny', device='cpu', dtype='float32', class_names=class_names(1))
    options, seen = BenchmarkOptions('tiny', size=32, classes=[1], repeats=1), []
    costs = measure_variants(prior, make_case(1, 32), options, keep=lambda known: seen.append(len(known)))
    assert seen == [1, 2, 3, 4]
    assert [cost.error is None for cost in costs] == [True, False, True, False]
    assert costs[0].plain_seconds > 0
    assert 'CUDA graphs need a GPU' in format_variants(costs)
