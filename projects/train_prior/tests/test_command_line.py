from pathlib import Path

import pytest

from projects.train_prior import __main__ as command_line
from projects.train_prior.data import TrainingData
from projects.train_prior.denoiser import DenoiserSettings, Reports
from projects.train_prior.doubts import DoubtSettings
from projects.train_prior.prior import PriorTraining

NEEDED = '--images a --labels b --classes c --out d'


@pytest.fixture
def called(monkeypatch):
    """Calls the command with some arguments: what it would train."""

    def call(arguments: str):
        calls = []
        monkeypatch.setattr(command_line, 'train_prior', lambda *given: calls.append(given))
        monkeypatch.setattr('sys.argv', ['train_prior', *arguments.split()])
        command_line.main()
        return calls[0]

    return call


def test_defaults_are_those_of_the_parts(called):
    data = TrainingData(images=Path('a'), classes=Path('c'), labels=Path('b'))
    assert called(NEEDED) == (PriorTraining(data), DenoiserSettings(), Path('d'))


def test_options_reach_their_parts(called):
    task, settings, _ = called(
        NEEDED + ' --tags t --validation-images vi --validation-labels vl --size 64 96 --views 3 --light 0.5 --init p'
        ' --vae-steps 0 --half --seed 7 --steps 9 --batch-size 2 --learning-rate 0.1 --cross-weight 3 --self-weight 0'
        ' --shares 1 2 3 4 --doubt-weight 0.2 --doubt-share 0.5 --rivals 0.4 --background 0 --report-every 5'
        ' --max-minutes 6 --device cuda --widths 16 32 48'
    )
    data = TrainingData(Path('a'), Path('c'), Path('b'), Path('t'), Path('vi'), Path('vl'))
    start = dict(init=Path('p'), vae_steps=0, widths=(16, 32, 48))
    assert task == PriorTraining(data, (64, 96), views=3, light=0.5, half=True, seed=7, **start)
    assert settings == DenoiserSettings(
        steps=9,
        batch_size=2,
        learning_rate=0.1,
        cross_weight=3.0,
        self_weight=0.0,
        shares=(1.0, 2.0, 3.0, 4.0),
        doubts=DoubtSettings(weight=0.2, rivals=0.4, background=0, share=0.5),
        reports=Reports(every=5),
        max_minutes=6.0,
        device='cuda',
    )
