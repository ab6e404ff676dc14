"""The README's table of photographs is of the refiners that configs/_base_/refiners ships, whatever changes there."""

import pytest

from mmseg_g4seg.io.config_files import read_config
from projects.experiments.plan import read_experiment
from tests.conftest import ROOT

SETS = {'voc_weak': 'animals', 'voc_strong': 'animals', 'camvid_day': 'street', 'camvid_dusk': 'street'}
FOLDERS = (
    'voc_animals/images/val',
    'voc_animals/labels/val',
    'voc_animals/coarse/espnetv2_s0.5/val',
    'voc_animals/coarse/espnetv2_s2.0/val',
    *(f'camvid/{kind}/{light}' for kind in ('images', 'labels') for light in ('day', 'dusk')),
    *(f'camvid/coarse/espnetv2_s2.0_cityscapes/{light}' for light in ('day', 'dusk')),
)


@pytest.fixture
def refiners(tmp_path, monkeypatch):
    """Reads an experiment over sets without images: its refiners by run and set."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    names = {
        'voc_animals': ['background', 'cat', 'cow', 'dog', 'horse', 'person', 'sheep'],
        'camvid': ['road', 'car'],
    }
    for folder, classes in names.items():
        (tmp_path / folder / 'classes.txt').write_text('\n'.join(classes))
    monkeypatch.setenv('DATA', str(tmp_path))
    monkeypatch.chdir(ROOT)

    def read(config):
        experiment = read_experiment(ROOT / 'projects/experiments/configs' / config)
        return {(run.name, run.set_name): run.refiner for run in experiment.runs}

    return read


@pytest.mark.parametrize(('image_set', 'name'), SETS.items())
def test_each_set_has_its_shipped_refiner(refiners, image_set, name):
    shipped = read_config(ROOT / f'configs/_base_/refiners/g4seg_{name}.py')['refiner']
    chain = refiners('photographs.py')['g4seg_crf', image_set]
    assert {**chain['refiners'][0], 'classes': chain['classes']} == shipped
    assert chain['refiners'][1] == refiners('photographs.py')['crf', image_set]


@pytest.mark.parametrize(('image_set', 'name'), SETS.items())
def test_changes_are_of_the_shipped_refiner(refiners, image_set, name):
    shipped = read_config(ROOT / f'configs/_base_/refiners/g4seg_{name}.py')['refiner']
    runs = refiners('shipped.py')
    assert runs['shipped', image_set] == shipped
    assert runs['boxes', image_set]['update'] == {**shipped['update'], 'smoothing': (3, 9, 21)}
    assert [stage.get('seed', 0) for stage in runs['twice', image_set]['refiners']] == [0, 1]
