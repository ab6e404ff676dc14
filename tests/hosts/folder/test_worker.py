"""The pieces that a run is made of, as another host takes them."""

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch

from mmseg_g4seg.hosts.folder import refine as refine_module
from mmseg_g4seg.hosts.folder import run as run_module
from mmseg_g4seg.hosts.folder.faults import BadFile
from mmseg_g4seg.hosts.folder.refine import MaskWorker
from mmseg_g4seg.hosts.folder.run import begin, finish, refine_folder
from mmseg_g4seg.hosts.folder.shares import take_share
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.ops.masks import decide_labels
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.pamr import PAMRRefiner
from tests.hosts.folder.conftest import CLASSES, contents, make_task
from tests.hosts.folder.timeless import timeless


class Watched(PAMRRefiner):
    """Keeps what it is given."""

    def __init__(self, **class_options: Any) -> None:
        super().__init__(1, [1])
        self.class_options = class_options
        self.classes: list[Any] = []

    def refine_batch(self, images, predictions, classes, **options):
        self.classes.append(classes)
        return super().refine_batch(images, predictions, classes, **options)


def watch(monkeypatch: pytest.MonkeyPatch, **class_options: Any) -> list[Watched]:
    """Puts watched refiners in place of all others; the list has those that were built."""
    built: list[Watched] = []

    def build(_: Any) -> Watched:
        built.append(Watched(**class_options))
        return built[-1]

    monkeypatch.setattr(refine_module, 'build_refiner', build)
    return built


def begun(task: FolderTask) -> tuple[MaskWorker, list]:
    plan, state = begin(task)
    return MaskWorker(task, state), plan.jobs


def test_a_run_is_its_pieces(tmp_path):
    task = make_task(tmp_path)
    refine_folder(task)
    expected = contents(task.out)
    plan, state = begin(task, overwrite=True)
    for share in (plan.jobs[1::2], plan.jobs[::2]):
        take_share(MaskWorker(task, state), share)
    finish(task, plan, state)
    assert contents(task.out) == expected


def test_a_run_is_planned_once(tmp_path, monkeypatch):
    task, plans, planned = make_task(tmp_path), [], run_module.make_plan
    monkeypatch.setattr(run_module, 'make_plan', lambda task: plans.append(task) or planned(task))
    refine_folder(task)
    assert plans == [task]


def test_a_worker_builds_one_refiner_at_its_first_mask(tmp_path, monkeypatch):
    built = watch(monkeypatch)
    worker, jobs = begun(make_task(tmp_path))
    assert not built
    assert [worker(job) for job in jobs] == [None] * 3
    assert len(built) == 1
    assert len(built[0].classes) == 3


def test_a_worker_travels_without_its_refiner(tmp_path, monkeypatch):
    built = watch(monkeypatch)
    worker, jobs = begun(make_task(tmp_path))
    fresh = pickle.loads(pickle.dumps(worker))

    def refine(worker):
        return [(content, timeless(record)) for content, record in map(worker.refine, jobs)]

    results = refine(worker)
    used = pickle.loads(pickle.dumps(worker))
    assert refine(fresh) == results
    assert refine(used) == results
    assert len(built) == 3


def test_refining_alone_writes_nothing(tmp_path):
    task = make_task(tmp_path)
    worker, jobs = begun(task)
    before = contents(task.out)
    content, record = worker.refine(jobs[0])
    assert contents(task.out) == before
    assert worker(jobs[0]) is None
    assert jobs[0].result.read_bytes() == content
    assert worker.state.remaining(jobs) == jobs[1:]
    assert record['pixels'] > 0


def test_an_error_comes_back_and_is_noted(tmp_path):
    task = make_task(tmp_path)
    (task.masks / 'image_1.png').write_text('text')
    worker, jobs = begun(task)
    with pytest.raises(BadFile, match=r'image_1\.png: .*cannot identify'):
        worker.refine(jobs[1])
    error = worker(jobs[1])
    assert isinstance(error, BadFile)
    assert error.path == task.masks / 'image_1.png'
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason, str(copy)) == (error.path, error.reason, str(error))
    assert worker(jobs[0]) is worker(jobs[2]) is None
    report = finish(task, begin(task)[0], worker.state)
    assert [entry['path'] for entry in report['errors']] == [str(error.path)]


def test_the_refiner_is_told_of_the_background(tmp_path, monkeypatch):
    built = watch(monkeypatch)
    classes = ClassList(CLASSES.names, background='dog')
    refine_folder(make_task(tmp_path, count=1, classes=classes))
    assert built[0].classes == [classes]


def test_the_refiners_config_has_the_last_word_on_its_classes(tmp_path, monkeypatch):
    built = watch(monkeypatch, names=['nothing', 'kitten', 'puppy', 'bush'], background='none', known=['kitten'])
    report = refine_folder(make_task(tmp_path, count=1))
    assert built[0].classes == [ClassList(['nothing', 'kitten', 'puppy', 'bush'], known=['kitten'])]
    assert 'kitten' not in report['table']  # the files' classes keep their names


def test_options_that_do_not_fit_are_not_the_files_fault(tmp_path, monkeypatch):
    watch(monkeypatch, names=['one', 'two'])
    with pytest.raises(ValueError, match='names: expected 4') as raised:
        refine_folder(make_task(tmp_path, count=1))
    assert not isinstance(raised.value, BadFile)


def test_coarse_labels_of_scores_follow_the_configs_threshold(tmp_path):
    """By argmax, the table counted pixels as changed, and gains, where nothing had been refined."""
    task = make_task(tmp_path, count=1, input_format='npz')
    task = replace(task, refiner={**task.refiner, 'classes': dict(threshold=0.9)})
    worker, (job,) = begun(task)
    coarse = worker.read(job).coarse
    expected = decide_labels(coarse.probs, background_index=0, background_threshold=0.9)
    assert (expected != coarse.probs.argmax(dim=0)).any()
    assert torch.equal(coarse.label_map, expected)
