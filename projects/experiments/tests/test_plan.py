import pytest

from projects.experiments.plan import for_set, read_experiment
from projects.experiments.table import choose_half
from projects.experiments.tests.conftest import PAMR, write_config


class TestPlan:
    def test_grids_and_options_of_a_set(self, data):
        body = f"""
pamr = {PAMR!r}
g4seg = dict(type='G4SegRefiner', beta=0.5)
per_set = dict(real=dict(prior='tiny', beta=0.9))
runs = dict(
    plain=pamr,
    swept=dict(refiner=pamr, grid=dict(iterations=[1, 2], dilations=[[1], [1, 2]])),
    chain=dict(type='SequentialRefiner', refiners=[g4seg, pamr]),
)
"""
        experiment = read_experiment(write_config(data, body))
        names = [run.name for run in experiment.runs if run.set_name == 'real']
        assert names == [
            'plain',
            'swept iterations=1 dilations=[1]',
            'swept iterations=1 dilations=[1,2]',
            'swept iterations=2 dilations=[1]',
            'swept iterations=2 dilations=[1,2]',
            'chain',
        ]
        swept = experiment.runs[names.index('swept iterations=2 dilations=[1]') * 2].refiner
        assert swept == {'type': 'PAMRRefiner', 'iterations': 2, 'dilations': [1]}
        chains = {run.set_name: run.refiner for run in experiment.runs if run.name == 'chain'}
        assert chains['real']['refiners'][0] == {'type': 'G4SegRefiner', 'prior': 'tiny', 'beta': 0.5}
        assert chains['some']['refiners'][0] == {'type': 'G4SegRefiner', 'beta': 0.5}
        assert chains['real']['refiners'][1] == PAMR

    @pytest.mark.parametrize(
        ('of_set', 'expected'),
        [
            (dict(draws=2), dict(type='LikelihoodUpdate', sharpness=9.0, draws=2)),
            (
                dict(type='LikelihoodUpdate', draws=2, sharpness=1.0),
                dict(type='LikelihoodUpdate', sharpness=9.0, draws=2),
            ),
            # options of another kind of part would be errors in the run's own
            (dict(type='CorrespondenceUpdate', beta=0.5), dict(type='LikelihoodUpdate', sharpness=9.0)),
        ],
    )
    def test_options_of_a_set_reach_a_part_of_the_run(self, of_set, expected):
        run = dict(type='G4SegRefiner', update=dict(type='LikelihoodUpdate', sharpness=9.0))
        assert for_set(run, dict(update=of_set))['update'] == expected

    def test_a_refiner_of_each_set(self, data):
        other = dict(PAMR, iterations=2)
        body = (
            f'runs = dict(own=dict(by_set=dict(some={PAMR!r}, real={other!r})), one=dict(by_set=dict(some={PAMR!r})))'
        )
        found = {(run.name, run.set_name): run.refiner for run in read_experiment(write_config(data, body)).runs}
        assert found == {('own', 'real'): other, ('own', 'some'): PAMR, ('one', 'some'): PAMR}
        with pytest.raises(ValueError, match=r"run own: expected sets of \['real', 'some'\], got \['reel'\]"):
            read_experiment(write_config(data, f'runs = dict(own=dict(by_set=dict(reel={PAMR!r})))'))

    def test_images_with_scores_in_order(self, data):
        experiment = read_experiment(write_config(data, f'runs = dict(plain={PAMR!r})'))
        assert experiment.sets['real'].image_names() == [f'im{i}' for i in range(6)]
        assert experiment.sets['some'].counted_classes() == [2]
        assert choose_half(list('abcde'), 'even') == ['a', 'c', 'e']
        assert choose_half(list('abcde'), 'odd') == ['b', 'd']

    def test_what_is_missing_is_named(self, data):
        with pytest.raises(FileNotFoundError, match='no such experiment'):
            read_experiment(data / 'none.py')
        with pytest.raises(ValueError, match='expected sets'):
            read_experiment(write_config(data, ''))
        for body, message in (
            (f'runs = dict(swept=dict(grid=dict(iterations=[1]), options={PAMR!r}))', 'run swept: expected refiner='),
            ("sets['real']['mean_classes'] = ['ball', 'bal']", r"set real: mean_classes: expected .* got \['bal'\]"),
            ("del sets['some']['scores']", 'set some: expected images, scores, .* got no scores'),
        ):
            plain = '' if 'runs' in body else f'\nruns = dict(plain={PAMR!r})'
            with pytest.raises(ValueError, match=message):
                read_experiment(write_config(data, body + plain))
        (data / 'labels').rename(data / 'elsewhere')
        with pytest.raises(FileNotFoundError, match=r'set real: no such folder: .*labels'):
            read_experiment(write_config(data, f'runs = dict(plain={PAMR!r})'))
