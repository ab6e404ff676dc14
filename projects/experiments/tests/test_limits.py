import json
import runpy
import sys
from dataclasses import replace

import pytest
import torch

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.refiners.g4seg.acceptance import gained_pixels
from mmseg_g4seg.refiners.g4seg.settings import G4SegSettings
from projects.experiments.acceptance_check import iou_rises
from projects.experiments.g4seg_parts import G4SegParts
from projects.experiments.image_limits import ask_prior, examine
from projects.experiments.limits import measure_limits, split_folds
from projects.experiments.plan import read_experiment
from projects.experiments.run import COARSE, ImageCase
from tests.conftest import IMAGE_SIZE, NAMES, ROOT, random_case

TOOL = ROOT / 'projects/experiments/limits_command.py'
LIKELIHOOD = dict(update='likelihood', likelihood_timesteps=(300,), joint=True, confidence_range=(0.0, 0.9))


def make_parts(prior, **settings):
    return G4SegParts(prior, settings=G4SegSettings(image_size=IMAGE_SIZE, **settings))


@pytest.fixture
def case():
    image, coarse = random_case()
    truth = random_case(seed=1)[1].label_map.clone()
    truth[0] = 255
    return ImageCase('a', image, coarse, truth)


class TestFolds:
    def test_never_calibrated_on_what_is_reported(self):
        names = list('abcdefg')
        assert split_folds(names, 'odd') == [(['a', 'c', 'e', 'g'], ['b', 'd', 'f'])]
        assert split_folds(names, 'even', 2) == [(['b', 'd'], ['a', 'c'])]
        assert split_folds(names, 'all', 4) == [(['a', 'c'], ['b', 'd']), (['b', 'd'], ['a', 'c'])]


class TestImage:
    @pytest.mark.parametrize('sharpness', [0.0, 20.0, 400.0])
    @pytest.mark.parametrize(
        'options',
        [
            dict(candidate_threshold=0.0),
            dict(candidate_threshold=0.15),
            dict(likelihood_bound=0.3),
            dict(likelihood_proportions=True, candidate_threshold=0.15),
        ],
    )
    def test_picked_pixels_decide_as_the_refiner_does(self, prior, case, sharpness, options):
        parts = make_parts(prior, background_index=0, **LIKELIHOOD, **options)
        pixels, _ = ask_prior(parts.open(case, NAMES), parts)
        refined = parts.with_settings(likelihood_sharpness=sharpness).refine(case.image, case.coarse, NAMES, key='a')
        assert sharpness == 0 or not torch.equal(refined.label_map, case.coarse.label_map)
        expected = class_areas(refined.label_map, case.truth, len(NAMES))
        assert torch.equal(pixels.areas(pixels.refine(parts, sharpness)), expected)

    def test_updates_are_the_refiners(self, prior, case):
        injected = dict(cross_weight=20.0, self_weight=20.0, timestep=700)
        likelihood, paper = make_parts(prior, **LIKELIHOOD), make_parts(prior, beta=0.3, **injected)
        areas = examine(case, NAMES, likelihood, paper).areas
        accepting = likelihood.with_settings(accept=True)
        for name, parts in {
            'likelihood': likelihood,
            'likelihood, accepted by the prior': accepting,
            'paper': paper,
        }.items():
            refined = parts.refine(case.image, case.coarse, NAMES, key='a')
            assert torch.equal(areas[name], class_areas(refined.label_map, case.truth, len(NAMES))), name
        assert not torch.equal(areas['paper'], areas['paper, true mask injected'])
        right = {name: int(found[0].sum()) for name, found in areas.items()}
        assert right['uncertain pixels, true where open'] == max(right.values())
        assert right['paper, best matches, beta 0'] > right['paper, best matches'] > right['paper']

    def test_the_truth_accepts_no_class_that_it_harms(self, prior, case):
        parts = make_parts(prior, **LIKELIHOOD)
        _, updated = ask_prior(parts.open(case, NAMES), parts)
        gained = gained_pixels(case.coarse, updated)
        one = next(iter(gained))
        case = replace(case, truth=torch.where(gained[one], one, case.truth))
        rises = iou_rises(case.coarse, updated, case.truth)
        areas = examine(case, NAMES, parts, make_parts(prior)).areas
        before, after, accepted = (
            areas[name][1] for name in (COARSE, 'likelihood', 'likelihood, accepted by the truth')
        )
        harmed = [c for c, rise in rises.items() if rise < 0]
        helped = [c for c, rise in rises.items() if rise > 0]
        assert harmed
        assert one in helped
        assert (accepted[harmed] <= before[harmed]).all()
        assert (accepted[helped] >= after[helped]).all()

    def test_nothing_to_refine(self, prior, case):
        likelihood, paper = (make_parts(prior, min_area=1.0, **options) for options in (LIKELIHOOD, {}))
        found = examine(case, NAMES, likelihood, paper)
        for name, areas in found.areas.items():
            assert torch.equal(areas, found.areas[COARSE]), name
        assert not found.decisions

    def test_another_refiner_is_refused(self):
        with pytest.raises(ValueError, match="expected the config of a G4SegRefiner, got 'PAMRRefiner'"):
            G4SegParts.build(dict(type='PAMRRefiner'))


def write_config(data):
    paths = {name: str(data / name) for name in ('images', 'scores', 'labels')} | {'classes': str(data / 'classes.txt')}
    path = data / 'experiment.py'
    refiner = dict(type='G4SegRefiner', prior='tiny', image_size=32, confidence_range=(0.2, 0.9))
    likelihood = dict(refiner, **{k: v for k, v in LIKELIHOOD.items() if k != 'confidence_range'})
    path.write_text(f'sets = dict(real={paths!r})\nruns = dict(likelihood={likelihood!r}, paper={refiner!r})\n')
    return path


class TestSet:
    def test_refiners_are_the_two_that_are_compared(self, data, prior):
        image_set = read_experiment(write_config(data)).sets['real']
        parts = make_parts(prior, **LIKELIHOOD)
        with pytest.raises(ValueError, match="expected a refiner with update='correspondence', got 'likelihood'"):
            measure_limits(image_set, parts, parts, [])

    def test_script(self, data, monkeypatch, capsys):
        def run(*options):
            arguments = [str(TOOL), str(write_config(data)), '--out', str(data / 'out'), *options]
            monkeypatch.setattr(sys, 'argv', arguments)
            runpy.run_path(str(TOOL), run_name='__main__')
            return json.loads((data / 'out/real.json').read_text()), capsys.readouterr().out

        found, table = run()
        report = found['report']
        assert report['images'] == 6
        assert len(report['calibration']['sharpness']) == 2
        known = report['knowledge']
        assert 0 < known['asked'] <= known['best_two'] <= known['uncertain']
        gains = report['gains']
        assert gains['uncertain pixels, true where open']['gain'] > gains['likelihood']['gain']
        assert (data / 'out/limits.md').read_text() + '\n' == table
        for count in (known['asked'], f'{gains["paper"]["gain"]:+.2f}', f'{report["calibration"]["at_zero"]:.4f}'):
            assert str(count) in table
        monkeypatch.setattr('projects.experiments.limits.measure_limits', None)
        assert run()[1] == table  # read, not measured again
        with pytest.raises(TypeError):
            run('--images', '2')
        with pytest.raises(SystemExit, match='expected runs'):
            run('--paper', 'none')
        with pytest.raises(SystemExit, match='expected some of'):
            run('--sets', 'none')
