"""The refiners that configs/_base_/refiners ships for photographs are those whose figures docs/results.md gives."""

import pytest
from mmengine.config import Config

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
    measured = Config.fromfile(ROOT / 'projects/experiments/configs/two_priors.py').to_dict()
    refiner = Config.fromfile(CONFIGS / f'_base_/refiners/{shipped}.py').to_dict()['refiner']
    stages = [
        {**measured['per_set'][image_set], **stage}
        for stage in measured['runs'][run]['refiners']
        if stage['type'] == 'G4SegRefiner'
    ]
    assert refiner.get('refiners', [refiner]) == stages
