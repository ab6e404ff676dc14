import json
import runpy
import sys

import pytest
import torch

from mmseg_g4seg.diffusion.injection import MaskInjector
from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.evaluation.records import COARSE
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from projects.experiments.limits.image import Compared, ask_prior, examine
from projects.experiments.limits.measure import split_folds
from projects.experiments.limits.open_image import build_g4seg, open_image
from projects.experiments.run import ImageCase
from tests.conftest import IMAGE_SIZE, NAMES, ROOT, random_case

TOOL = ROOT / 'projects/experiments/limits/__main__.py'
LIKELIHOOD = dict(timesteps=(300,), uncertain_below=0.9)


def likelihood_refiner(prior, *, min_area=0.0, **options):
    update = LikelihoodUpdate(**{**LIKELIHOOD, **options})
    return G4SegRefiner(prior, update=update, image_size=IMAGE_SIZE, min_area=min_area)


def paper_refiner(prior, *, injection=None, min_area=0.0, **options):
    update = CorrespondenceUpdate(**options)
    return G4SegRefiner(prior, update=update, injection=injection, image_size=IMAGE_SIZE, min_area=min_area)


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
            dict(bound=0.3),
            dict(proportions=True, candidate_threshold=0.15),
        ],
    )
    def test_picked_pixels_decide_as_the_refiner_does(self, prior, case, sharpness, options):
        classes = ClassList(NAMES, background=0)
        asked, other = (likelihood_refiner(prior, sharpness=s, **options) for s in (30.0, sharpness))
        pixels, _ = ask_prior(open_image(asked, case, classes), asked)
        refined = other.refine(case.image, case.coarse, classes, key='a')
        assert sharpness == 0 or not torch.equal(refined.label_map, case.coarse.label_map)
        expected = class_areas(refined.label_map, case.truth, len(NAMES))
        assert torch.equal(pixels.areas(pixels.refine(asked.update, classes, sharpness)), expected)

    def test_updates_are_the_refiners(self, prior, case):
        classes, injection = ClassList(NAMES), MaskInjector(cross_weight=20.0, self_weight=20.0)
        likelihood = likelihood_refiner(prior)
        paper = paper_refiner(prior, injection=injection, beta=0.3, reconstruction=OneStep(timestep=700))
        areas = examine(case, classes, Compared(likelihood, paper)).areas
        for name, refiner in {'likelihood': likelihood, 'paper': paper}.items():
            refined = refiner.refine(case.image, case.coarse, classes, key='a')
            assert torch.equal(areas[name], class_areas(refined.label_map, case.truth, len(NAMES))), name
        assert not torch.equal(areas['paper'], areas['paper, true mask injected'])
        right = {name: int(found[0].sum()) for name, found in areas.items()}
        assert right['uncertain pixels, true where open'] == max(right.values())
        assert right['paper, best matches, beta 0'] > right['paper, best matches'] > right['paper']

    def test_what_a_config_says_of_the_classes_counts(self, case):
        config = dict(
            type='G4SegRefiner', prior='tiny', image_size=32, update=dict(type='LikelihoodUpdate', **LIKELIHOOD)
        )
        plain, told = (
            build_g4seg({**config, **more}) for more in ({}, {'classes': dict(background=0, known=NAMES[:3])})
        )
        assert len(open_image(plain, case, ClassList(NAMES)).selected) == len(NAMES)
        opened = open_image(told, case, ClassList(NAMES))
        assert opened.selected == [1, 2]
        found = examine(case, ClassList(NAMES), Compared(told, paper_refiner(told.prior))).areas
        assert 'uncertain pixels, true class of objects' in found

    def test_nothing_to_refine(self, prior, case):
        refiners = Compared(likelihood_refiner(prior, min_area=1.0), paper_refiner(prior, min_area=1.0))
        found = examine(case, ClassList(NAMES), refiners)
        for name, areas in found.areas.items():
            assert torch.equal(areas, found.areas[COARSE]), name

    def test_refiners_are_the_two_that_are_compared(self, prior):
        likelihood, paper = likelihood_refiner(prior), paper_refiner(prior)
        message = 'expected a refiner with a CorrespondenceUpdate, got one with a LikelihoodUpdate'
        with pytest.raises(ValueError, match=message):
            Compared(likelihood, likelihood)
        with pytest.raises(ValueError, match='expected a refiner with a LikelihoodUpdate'):
            Compared(paper, paper)

    def test_another_refiner_is_refused(self):
        with pytest.raises(ValueError, match="expected the config of a G4SegRefiner, got 'PAMRRefiner'"):
            build_g4seg(dict(type='PAMRRefiner'))


def write_config(data):
    paths = {name: str(data / name) for name in ('images', 'scores', 'labels')} | {'classes': str(data / 'classes.txt')}
    path = data / 'experiment.py'
    refiner = dict(type='G4SegRefiner', prior='tiny', image_size=32)
    likelihood = dict(refiner, update=dict(type='LikelihoodUpdate', **LIKELIHOOD))
    paper = dict(refiner, update=dict(type='CorrespondenceUpdate', confidence_range=(0.2, 0.9)))
    path.write_text(f'sets = dict(real={paths!r})\nruns = dict(likelihood={likelihood!r}, paper={paper!r})\n')
    return path


class TestSet:
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
        monkeypatch.setattr('projects.experiments.limits.measure.measure_limits', None)
        assert run()[1] == table  # read, not measured again
        with pytest.raises(TypeError):
            run('--images', '2')
        with pytest.raises(SystemExit, match='expected runs'):
            run('--paper', 'none')
        with pytest.raises(SystemExit, match='expected some of'):
            run('--sets', 'none')
