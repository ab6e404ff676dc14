"""Rows over seeds: which files are used, what is said of the others, and what is measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from projects.reproduction.plans import Plan, plan_row
from projects.reproduction.records import Row, SeedRun, Table
from projects.reproduction.runs import read_figures, run_plan
from projects.reproduction.seeds import find_seeds
from projects.reproduction.table import describe, fill
from projects.reproduction.tests.setting import LIGHT, places
from tests.hosts.mmseg.synthetic_trees import pairs, write_tree

ROW = Row('seed', 70.8, 72.0, SeedRun('clip_es', 'clip-es', 'power:1', {'update.beta': 0.9}))
pytestmark = pytest.mark.usefixtures('runs_in_this_process')
TRAIN = ['2010_000000', '2010_000001', '2010_000002']


@pytest.fixture
def saved(tmp_path) -> Path:
    """Seeds of training and validation images, as methods save them."""
    voc, folder = tmp_path / 'data/VOCdevkit/VOC2012', tmp_path / 'data/seeds/clip_es'
    write_tree('voc12', voc, images=3)
    folder.mkdir(parents=True)
    for image, _ in pairs('voc12', voc):
        write_seed(folder / f'{image.stem}.npy')
    return folder


def write_seed(path: Path) -> None:
    maps = np.random.default_rng(0).random((2, 64, 96)).astype(np.float16)
    np.save(path, {'keys': np.array([3, 11]), 'attn_highres': maps}, allow_pickle=True)


def plan_light(tmp_path, **changes) -> Plan:
    return plan_row(ROW, places(tmp_path, **{'prior': 'tiny', 'options': LIGHT, **changes}))


def cells(plan: Plan) -> tuple[str, ...]:
    return fill(Table('one', (ROW,)), [plan])[0]


def test_only_training_images_are_used(tmp_path, saved):
    plan = plan_light(tmp_path)
    assert plan.missing == []
    assert run_plan(plan), (plan.folder / 'log.txt').read_text()[-3000:]
    assert len(list(saved.iterdir())) == 6
    links = sorted((plan.folder / 'seeds').iterdir())
    assert [link.stem for link in links] == TRAIN
    assert all(link.is_symlink() for link in links)
    images = json.loads(plan.figures.read_text())['images']
    assert [image['name'] for image in images] == TRAIN
    assert cells(plan)[-1] == 'measured'
    figures = read_figures(plan)
    by_hand = []
    for stage in ('coarse', 'refined'):
        totals = np.zeros((3, 21))
        for image in images:
            totals[:, image['classes']] += image['areas'][stage]
        inside, predicted, labelled = totals
        union = predicted + labelled - inside
        by_hand.append(np.mean([100 * i / u for i, u, n in zip(inside, union, labelled, strict=True) if n]))
    assert (figures.coarse, figures.refined) == pytest.approx(by_hand)
    assert figures.gain == pytest.approx(by_hand[1] - by_hand[0])
    assert figures.interval[0] <= figures.interval[1]


def test_missing_and_bad_seeds_are_counted_and_those_repaired_are_added(tmp_path, saved):
    (saved / f'{TRAIN[0]}.npy').unlink()
    (saved / f'{TRAIN[1]}.npy').write_bytes(b'no array')
    plan = plan_light(tmp_path)
    assert f'found   seeds, 2 of 3: {Path("data/seeds/clip_es")}' in describe('one', Table('one', (ROW,)), [plan])
    assert run_plan(plan), (plan.folder / 'log.txt').read_text()[-3000:]
    assert cells(plan)[-1] == f'measured on 1 of 3 seeds, 1 missing, 1 bad: see {plan.figures}'
    assert f'{TRAIN[1]}.npy' in json.loads(plan.figures.read_text())['errors'][0]['path']
    for name in TRAIN[:2]:
        write_seed(saved / f'{name}.npy')
    plan = plan_light(tmp_path)
    assert run_plan(plan)
    assert cells(plan)[-1] == 'measured'
    assert not (tmp_path / 'out/seed.1').exists(), 'the run goes on, what was refined stays'


def test_no_seed_that_can_be_used_is_a_failure(tmp_path, saved):
    for path in saved.iterdir():
        path.write_bytes(b'no array')
    plan = plan_light(tmp_path)
    assert not run_plan(plan)
    assert cells(plan)[-1] == f'failed: {plan.folder / "log.txt"}'
    assert '3 errors' in (plan.folder / 'log.txt').read_text()


def test_other_settings_and_damaged_reports_are_another_run(tmp_path, saved):
    """The tool that refines refuses a folder with results of other settings, or with a damaged report."""
    assert run_plan(plan_light(tmp_path))
    other = plan_light(tmp_path, options={**LIGHT, 'model.refiner.update.beta': 0.5})
    assert other.command == plan_light(tmp_path).command
    assert read_figures(other) is None
    assert run_plan(other), (other.folder / 'log.txt').read_text()[-3000:]
    other.figures.write_text('{')
    assert cells(other)[-1].startswith('no figures: ')
    assert run_plan(other), (other.folder / 'log.txt').read_text()[-3000:]


def test_nested_options_reach_the_refiner(tmp_path):
    file = {'model.refiner.update.features.pretrained': 'my weights.pt'}
    needs = {need.what: need.where for need in plan_light(tmp_path, options=file).needs}
    assert needs['CLIP weights'] == 'my weights.pt'


def test_what_is_missing_is_named(tmp_path):
    missing = {need.what: need.where for need in plan_light(tmp_path).missing}
    assert missing['seeds, 0 of 0'] == 'data/seeds/clip_es'
    assert missing['names'] == 'data/VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt'


def test_links_are_renewed(tmp_path, saved):
    links = tmp_path / 'links'
    find_seeds(ROW.run, Path('data')).link(links)
    (saved / f'{TRAIN[0]}.npy').unlink()
    find_seeds(ROW.run, Path('data')).link(links)
    assert sorted(path.stem for path in links.iterdir()) == TRAIN[1:]
    assert all(path.is_file() for path in links.iterdir())
    assert len(list(saved.iterdir())) == 5


def test_a_failing_run_is_said_with_its_log(tmp_path, saved):
    row = Row('seed', None, None, SeedRun('clip_es', 'clip-es', 'nonsense:1'))
    plan = plan_row(row, places(tmp_path, prior='tiny', options=LIGHT))
    assert not run_plan(plan)
    assert 'power:ALPHA' in (plan.folder / 'log.txt').read_text()
    assert fill(Table('one', (row,)), [plan])[0][-1] == f'failed: {plan.folder / "log.txt"}'
