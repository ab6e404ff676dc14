"""`make` pins what it made itself, and moves nothing in an environment that it did not make."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')

PYTHON = """#!/bin/sh
# writes down what it is asked for; `-m venv FOLDER` makes a folder with another of its kind
echo "$@" >> {log}
test "$1 $2" = '-m venv' && mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
test "$1 $2 $3" = '-m pip list' && echo torch==2.1.2
exit 0
"""


@pytest.fixture
def fake(tmp_path) -> Path:
    """A Python that installs nothing."""
    python = tmp_path / 'python'
    python.write_text(PYTHON.format(log=tmp_path / 'log'))
    python.chmod(0o755)
    return python


def asked_by_make(folder: Path, *arguments: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}
    subprocess.run(['make', '-s', '-C', ROOT, *arguments], env=environment, capture_output=True, check=True)
    # what is installed, without what a script asks of the environment
    return [line for line in (folder / 'log').read_text().splitlines() if line.startswith('-m ')]


def test_an_environment_of_ones_own(fake, tmp_path):
    """Whatever it has; a host that does not even import must not be taken for none."""
    theirs = tmp_path / 'theirs'
    (theirs / 'bin').mkdir(parents=True)
    shutil.copy(fake, theirs / 'bin/python')
    asked = asked_by_make(tmp_path, 'env', f'VENV={theirs}', f'PYTHON={fake}')
    kept = theirs / '.mmseg_g4seg_kept.txt'
    assert kept.read_text() == 'torch==2.1.2\n'
    assert [line for line in asked if 'pip install' in line] == [f'-m pip install -c {kept} -e .[clip,dev] -e ./priors']


def test_one_that_make_makes(fake, tmp_path):
    ours = tmp_path / 'ours'
    asked = asked_by_make(tmp_path, 'env', f'VENV={ours}', f'PYTHON={fake}')
    # by pip, where there is no uv
    installs = [
        '-m pip install --quiet uv==0.13.9',
        '-m pip install -r requirements/tested.txt',
        '-m pip install --no-deps -r requirements/app.txt',
        '-m pip install --no-deps -e requirements/.. -e requirements/../priors',
    ]
    assert asked == [f'-m venv {ours}', *installs]
    # and again after a change of the pinned set
    (ours / '.mmseg_g4seg_ready').unlink()
    assert asked_by_make(tmp_path, 'env', f'VENV={ours}', f'PYTHON={fake}') == [*asked, *installs]


def test_uv_does_it_where_it_can(fake, tmp_path):
    ours = tmp_path / 'ours'
    asked_by_make(tmp_path, 'env', f'VENV={ours}', f'PYTHON={fake}')
    for path in (ours / '.mmseg_g4seg_ready', tmp_path / 'log'):
        path.unlink()
    uv = ours / 'bin/uv'
    uv.write_text(f'#!/bin/sh\necho uv "$@" >> {tmp_path / "uv"}\n')
    uv.chmod(0o755)
    python = f'{ours}/bin/python'
    assert asked_by_make(tmp_path, 'env', f'VENV={ours}', f'PYTHON={fake}') == ['-m pip install --quiet uv==0.13.9']
    asked = [
        line.removeprefix(f'uv pip install --system-certs --python {python} ') for line in (tmp_path / 'uv').open()
    ]
    assert [line.strip() for line in asked] == [
        '-r requirements/tested.txt',
        '--no-deps -r requirements/app.txt',
        '--no-deps -e requirements/.. -e requirements/../priors',
    ]


def test_photographs_say_what_they_need(fake, tmp_path):
    ours, data = tmp_path / 'ours', tmp_path / 'data'
    command = ['make', '-s', '-C', ROOT, 'photographs', f'VENV={ours}', f'PYTHON={fake}']
    done = subprocess.run([*command, f'DATA={data}'], capture_output=True, text=True, check=False)
    assert done.returncode
    assert f'expected DATA=folder with camvid and voc_animals, got "{data}"' in done.stdout
    for name in ('camvid', 'voc_animals'):
        (data / name).mkdir(parents=True)
    *_, asked = asked_by_make(tmp_path, 'photographs', f'VENV={ours}', f'PYTHON={fake}', f'DATA={data}')
    config = 'projects/experiments/configs/photographs.py'
    assert asked == f'-m projects.experiments {config} --out work_dirs/photographs --processes 2'
