"""The refiners that configs/_base_/refiners ships for photographs are those whose figures NOTEBOOK.md gives."""

import pytest
from mmengine.config import Config

from projects.experiments.plan import for_set
from tests.conftest import ROOT

CONFIGS = ROOT / 'configs'


@pytest.mark.parametrize(
    ('shipped', 'run', 'image_set'),
    [
        ('g4seg_street', 'streets_crf', 'camvid_day'),
        ('g4seg_street', 'streets_crf', 'camvid_dusk'),
        ('g4seg_animals', 'animals_crf', 'voc_weak'),
        ('g4seg_animals_strong', 'animals_first_crf', 'voc_strong'),
    ],
)
def test_the_shipped_refiner_is_the_measured_one(shipped, run, image_set):
    experiment = Config.fromfile(ROOT / 'projects/experiments/configs/two_priors.py').to_dict()
    measured = for_set(experiment['runs'][run], experiment['per_set'][image_set])
    refiner = Config.fromfile(CONFIGS / f'_base_/refiners/{shipped}.py').to_dict()['refiner']
    assert refiner.pop('classes') == measured['classes']
    stages = [stage for stage in measured['refiners'] if stage['type'] == 'G4SegRefiner']
    assert refiner.get('refiners', [refiner]) == stages
