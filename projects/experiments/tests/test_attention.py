"""How well attention says where a class is; H W image size."""

import json
import sys

import pytest
import torch

from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.prediction import ClassList
from projects.demo.scenes.compose import CLASSES
from projects.demo.scenes.folder import write_split
from projects.experiments.attention import zero_shot
from projects.experiments.attention.measure import Tally, measure_image, rank_share, summarise, table

SHOWN = torch.tensor([[True, True, False, False]])


def test_ranks_by_hand():
    assert rank_share(torch.tensor([[0.9, 0.8, 0.2, 0.1]]), SHOWN) == 1
    assert rank_share(torch.tensor([[0.1, 0.2, 0.8, 0.9]]), SHOWN) == 0
    assert rank_share(torch.full((1, 4), 0.3), SHOWN) == 0.5
    # of four pairs 0.9 beats both, 0.5 beats 0.1 and ties with 0.5
    assert rank_share(torch.tensor([[0.9, 0.5, 0.5, 0.1]]), SHOWN) == 3.5 / 4


def test_iou_at_the_one_best_threshold():
    """One class is found above 0.1, the other above 0.6: together they are best between."""
    tallies = {('level 1', 0): Tally(), ('level 1', 1): Tally()}
    tallies['level 1', 0].add(torch.tensor([[1.0, 0.7, 0.2, 0.0]]), SHOWN)
    tallies['level 1', 1].add(torch.tensor([[1.0, 0.7, 0.62, 0.0]]), SHOWN)
    found = summarise(tallies, ['a', 'b'])['level 1']
    assert found['all']['threshold'] == pytest.approx(0.65)
    # Otsu parts 255 from 124, 98 and 0 in the second map, and finds half of the class
    assert (found['all']['best'], found['all']['otsu'], found['all']['auc']) == (100, 75, 1)


def test_a_table_of_classes_and_levels():
    row = dict(best=12.34, otsu=5.0, auc=0.5)
    report = {'level 1': {'a': row, 'all': row}, 'mean': {'a': dict(row, best=1.0), 'all': row}}
    assert table(report) == [
        '| class | level 1 | mean |',
        '|---|---|---|',
        '| a | 12.3, 5.0, 0.50 | 1.0, 5.0, 0.50 |',
        '| all | 12.3, 5.0, 0.50 | 12.3, 5.0, 0.50 |',
    ]


def test_the_embedded_prior_at_every_level():
    prior, tallies = load_prior('tiny'), {}
    label_map = torch.zeros(32, 32, dtype=torch.int64)
    label_map[:16] = 5
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    measure_image(prior, image, label_map, CLASSES, timesteps=[100], key='a', tallies=tallies)
    assert sorted({kind for kind, _ in tallies}) == ['level 1', 'level 2', 'level 4', 'mean']
    assert {c for _, c in tallies} == {0, 5}
    report = summarise(tallies, CLASSES)
    assert all(0 <= rows['all']['auc'] <= 1 for rows in report.values())


def test_pixels_without_a_label_count_nowhere():
    prior, tallies = load_prior('tiny'), {}
    label_map = torch.full((32, 32), 255)
    label_map[:8], label_map[8:16] = 0, 2
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    measure_image(prior, image, label_map, ['background', 'sky', 'fish'], timesteps=[100], key='a', tallies=tallies)
    assert {c for _, c in tallies} == {2}, 'the background is asked about by no prompt'
    _, predicted, shown = tallies['mean', 2].best
    assert predicted.max() <= 16 * 32
    assert (shown == 8 * 32).all()


def test_zero_shot_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    list(write_split(tmp_path / 'data', 'val', 2, size=32))
    data = {'--images': 'images/val', '--labels': 'labels/val', '--classes': 'classes.txt'}
    options = [part for name, path in data.items() for part in (name, str(tmp_path / 'data' / path))]

    def run(*more):
        monkeypatch.setattr(sys, 'argv', ['zero_shot', *options, '--out', str(tmp_path / 'out'), *more])
        zero_shot.main()
        return capsys.readouterr().out

    monkeypatch.setattr(zero_shot, 'build_sources', lambda *_, **__: {'undecided': zero_shot.Undecided()})
    first = run()
    assert '| undecided |' in first
    areas = json.loads((tmp_path / 'out/00000.json').read_text())
    assert torch.tensor(areas['undecided']).shape == (1, 3, 14)
    monkeypatch.setattr(zero_shot, 'measure_image', lambda *_: pytest.fail('measured again'))
    assert run() == first
    # an image measured with a refiner and one without make no table
    with pytest.raises(ValueError, match=r"expected the options of the run .*; refiner was 'None', is 'refiner.py'"):
        run('--refiner', 'refiner.py')


def test_undecided_is_undecided():
    found = zero_shot.Undecided().predict_present(torch.rand(3, 8, 8), ClassList(CLASSES), [1, 3])
    torch.testing.assert_close(found.probs[[1, 3]], torch.full((2, 8, 8), 0.5), atol=3e-3, rtol=0)
    assert found.label_map.unique().tolist() == [1, 3]
