"""The package of priors: what it holds, how large it is, and that its settings are those of the shipped configs."""

import json
import shutil
import zipfile

import pytest

from mmseg_g4seg import __version__
from mmseg_g4seg.io.config_files import read_config
from tests.conftest import ROOT
from tests.test_packaging import NOT_SOURCES, build

PRIORS = ROOT / 'priors'
NAMES = ('animals', 'street')
MOST_BYTES = 45_000_000
"""Of weights in the repository, the embedded ones among them."""


def test_the_wheel_holds_both(tmp_path):
    source = shutil.copytree(PRIORS, tmp_path / 'priors', ignore=NOT_SOURCES)
    with zipfile.ZipFile(build('wheel', source, tmp_path / 'dist')) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    information = f'mmseg_g4seg_priors-{__version__}.dist-info'
    assert {name.split('/')[0] for name in held} == {'mmseg_g4seg_priors', information}
    files = [path for name in NAMES for path in (source / name).rglob('*') if path.is_file()]
    assert all(held[f'mmseg_g4seg_priors/{path.relative_to(source)}'] == path.read_bytes() for path in files)
    announced = held[f'{information}/entry_points.txt'].decode().splitlines()
    assert sorted(line.split(' = ')[0] for line in announced if ' = ' in line) == sorted(NAMES)


def test_weights_stay_small():
    weights = [p for folder in (PRIORS, ROOT / 'mmseg_g4seg/assets') for p in folder.rglob('*.safetensors')]
    assert len(weights) == 3 * (1 + len(NAMES))
    assert sum(path.stat().st_size for path in weights) < MOST_BYTES


@pytest.mark.parametrize('name', NAMES)
def test_the_settings_are_those_of_the_config(name):
    """`load_refiner('street')` refines as `g4seg_street.py` does, whose figures the README gives."""
    config = read_config(ROOT / f'configs/_base_/refiners/g4seg_{name}.py')['refiner']
    settings = json.loads((PRIORS / name / 'refiner.json').read_text())
    # an array has no data set behind it, which would name the background
    settings['classes'].pop('background', None)
    assert {'type': 'G4SegRefiner', 'prior': name, **settings} == json.loads(json.dumps(config))


@pytest.mark.parametrize('name', NAMES)
def test_a_card_says_what_one_asks_before_use(name):
    card = (PRIORS / name / 'README.md').read_text()
    front = card.split('---\n')[1]
    assert [line.split(':')[0] for line in front.splitlines()] == ['license', 'library_name', 'tags']
    for heading in ('**trained on**', '**licence**', '**not for**', '## How it was trained', '## What it gains'):
        assert heading in card, heading
