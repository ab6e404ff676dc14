"""Sliders show what a config says, and say it to the config."""

import pytest

from mmseg_g4seg.hosts.web.parameters import PARAMETERS, REFINERS, parameter_values, read_choice, with_values
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner


def shown(config) -> dict[str, float]:
    pairs = zip(PARAMETERS, parameter_values(config), strict=True)
    return {f'{p.part}.{p.option}': value for p, value in pairs if value is not None}


def test_of_every_refiner_that_the_page_offers():
    assert shown(read_choice('G4Seg, likelihood update')) == {
        'G4SegRefiner.seed': 0,
        'LikelihoodUpdate.uncertain_below': 0.8,
        'LikelihoodUpdate.sharpness': 30.0,
        'MaskInjector.cross_weight': 3.0,
        'MaskInjector.self_weight': 0.3,
    }
    paper = shown(read_choice("G4Seg, the paper's update"))
    assert (paper['CorrespondenceUpdate.beta'], paper['OneStep.timestep']) == (0.8, 400)
    assert 'DenseCRFRefiner.iterations' in shown(read_choice('G4Seg, then dense CRF'))
    assert shown(read_choice('Dense CRF alone')) == {'DenseCRFRefiner.iterations': 10}
    assert shown(read_choice('PAMR alone')) == {'PAMRRefiner.iterations': 10}
    for name in REFINERS:
        config = read_choice(name)
        assert parameter_values(with_values(config, parameter_values(config))) == parameter_values(config)


def test_values_reach_the_parts_that_are_built():
    config = read_choice("G4Seg, the paper's update")
    values = parameter_values(config)
    options = [p.option for p in PARAMETERS]
    values[options.index('beta')] = 0.9
    values[options.index('timestep')] = 300.0  # as a slider gives it
    values[options.index('cross_weight')] = 2.0
    refiner = build_refiner(with_values(config, values))
    assert isinstance(refiner, G4SegRefiner)
    assert (refiner.update.beta, refiner.update.reconstruction.timestep) == (0.9, 300)
    assert refiner.injectors[0].cross_weight == 2.0
    assert read_choice("G4Seg, the paper's update") == config


def test_an_option_that_a_config_does_not_say_has_its_default(tmp_path):
    file = tmp_path / 'refiner.py'
    file.write_text("refiner = dict(type='G4SegRefiner', prior='tiny', image_size=32)")
    assert shown(read_choice(str(file))) == {
        'G4SegRefiner.seed': 0,
        'CorrespondenceUpdate.beta': 0.8,
        'OneStep.timestep': 400,
        'MaskInjector.cross_weight': 1.0,
        'MaskInjector.self_weight': 0.3,
    }
    with pytest.raises(FileNotFoundError, match='no such config file'):
        read_choice('nowhere.py')
