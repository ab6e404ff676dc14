"""`--cfg-options` reach the parts of a refiner by the names that the objects have."""

import argparse
from importlib import import_module

import pytest
from mmengine.config import Config

from mmseg_g4seg import build_refiner
from mmseg_g4seg.cli.config_options import ConfigOptions
from mmseg_g4seg.registry import check_config
from tests.conftest import ROOT

CONFIG = ROOT / 'projects/demo/configs/segformer-tiny_g4seg-tiny_scenes-128x128.py'
REFINERS = sorted((ROOT / 'configs/_base_/refiners').glob('*.py'))


def overridden(*options: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    config = Config.fromfile(CONFIG)
    config.merge_from_dict(parser.parse_args(['--cfg-options', *options]).cfg_options)
    return config.model['refiner']


def test_options_of_parts():
    refiner = build_refiner(
        overridden('model.refiner.update.sharpness=20', 'model.refiner.injection.self_weight=0', 'model.refiner.seed=3')
    )
    (injector,) = refiner.injectors
    assert (refiner.update.sharpness, injector.self_weight, injector.cross_weight, refiner.seed) == (20, 0, 3.0, 3)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('/my data/x', '/my data/x'),
        ('plain', 'plain'),
        ('2', 2),
        ('[1, 2]', [1, 2]),
        ('(0.1, 0.7)', (0.1, 0.7)),
        ('1, 2', [1, 2]),
        ('True', True),
    ],
)
@pytest.mark.parametrize('tool', ['test', 'train', 'check_dataset'])
def test_a_text_keeps_its_blanks(tool, text, expected):
    """mmengine takes them out: a folder `/my data` became `/mydata`."""
    parser = import_module(f'mmseg_g4seg.cli.{tool}').build_parser()
    assert parser.parse_args(['config.py', '--cfg-options', f'a.b={text}']).cfg_options == {'a.b': expected}


def test_a_stage_of_a_chain_by_its_place():
    """And lists of pairs."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    stages = [dict(type='PAMRRefiner'), dict(type='G4SegRefiner', update=dict(beta=0.8))]
    config = Config(dict(model=dict(refiner=dict(type='SequentialRefiner', refiners=stages))))
    given = ['model.refiner.refiners.1.update.beta=0.5', 'model.pairs=[(0.1,0.2),(0.3,0.4)]']
    config.merge_from_dict(parser.parse_args(['--cfg-options', *given]).cfg_options)
    assert [stage.get('update') for stage in config.model.refiner.refiners] == [None, {'beta': 0.5}]
    assert config.model.pairs == [(0.1, 0.2), (0.3, 0.4)]


def test_another_part():
    refiner = build_refiner(
        overridden(
            'model.refiner.update._delete_=True',
            'model.refiner.update.type=CorrespondenceUpdate',
            'model.refiner.update.features.type=DenoiserFeatures',
            'model.refiner.update.features.block=0',
            'model.refiner.classes.known=(sky,tree)',
        )
    )
    assert (type(refiner.update).__name__, refiner.update.features.block) == ('CorrespondenceUpdate', 0)
    assert list(refiner.class_options['known']) == ['sky', 'tree']


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.refiner.update.sharpnes=20', "refiner.update: LikelihoodUpdate has no option 'sharpnes': did you mean"),
        ('model.refiner.injection.selfweight=0', "MaskInjector has no option 'selfweight': did you mean 'self_weight'"),
        ('model.refiner.update.beta=0.9', "LikelihoodUpdate has no option 'beta'; CorrespondenceUpdate has it"),
        ('model.refiner.likelihood_sharpness=20', "G4SegRefiner has no option 'likelihood_sharpness'"),
        ('model.refiner.update.type=LikelihodUpdate', "did you mean 'LikelihoodUpdate'"),
        ('model.refiner.classes.knwon=(sky,)', "refiner.classes has no option 'knwon': did you mean 'known'"),
    ],
)
def test_a_misspelt_one_says_what_was_meant(option, message):
    with pytest.raises(ValueError, match=message):
        build_refiner(overridden(option))


@pytest.mark.parametrize('path', REFINERS, ids=lambda p: p.stem)
def test_shipped_refiners_name_parts_and_options_that_there_are(path):
    refiner = Config.fromfile(path).to_dict()['refiner']
    assert refiner.pop('classes', {}).keys() <= {'known', 'background', 'threshold', 'names'}
    check_config(refiner, 'refiner')
