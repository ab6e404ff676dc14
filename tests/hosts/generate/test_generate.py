"""A data set in a folder: what is written, taken up again, refused."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from mmseg_g4seg.cli.generate import main
from mmseg_g4seg.coarse.generation import generate_pairs
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.hosts.folder import run_state
from mmseg_g4seg.hosts.folder.run_state import RunState
from mmseg_g4seg.hosts.folder.shares import take_share
from mmseg_g4seg.hosts.generate import run
from mmseg_g4seg.hosts.generate.run import PairJob, PairWorker, generate_folder
from mmseg_g4seg.hosts.generate.task import GenerateTask
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import contents

CLASSES = ClassList(['background', 'sky', 'hot air balloon', 'fish'])
OPTIONS = dict(steps=1, objects=(1, 2), unsure=0.2)
SOURCE = dict(type='SeeDiff', image_size=32)
COUNT = 3


@pytest.fixture(scope='module')
def tiny():
    return load_prior('tiny')


@pytest.fixture
def make_task(tmp_path, tiny, monkeypatch):
    """Tasks whose prior is loaded once; settings name it all the same."""
    generators, build = {}, GenerateTask.generator

    def generator(task):
        key = json.dumps(task.settings())
        if key not in generators:
            source = {**task.source, 'prior': tiny}
            generators[key] = build(GenerateTask(task.out, task.classes, 1, source, task.options))
        return generators[key]

    monkeypatch.setattr(GenerateTask, 'generator', generator)

    def make(name='out', count=COUNT, **options):
        given = dict(classes=CLASSES, count=count, source={**SOURCE, 'prior': 'tiny'}, options=OPTIONS)
        return GenerateTask(tmp_path / name, **{**given, **options})

    return make


def test_what_is_written(make_task, tiny):
    task = make_task()
    report = generate_folder(task)
    found = contents(task.out)
    names = [f'{i:06d}' for i in range(COUNT)]
    files = {
        f'{folder}/{n}{s}' for n in names for folder, s in (('images', '.png'), ('labels', '.png'), ('scores', '.npz'))
    }
    assert set(found) == files | {'classes.txt', 'manifest.jsonl', 'report.json', 'table.txt'}
    assert read_classes(str(task.out / 'classes.txt')).names == CLASSES.names
    lines = [json.loads(line) for line in found['manifest.jsonl'].decode().splitlines()]
    expected = list(generate_pairs(tiny, CLASSES, COUNT, source=SOURCE, **OPTIONS))
    for pair, line in zip(expected, lines, strict=True):
        assert (line['name'], line['prompt'], line['seed']) == (pair.name, pair.prompt, 0)
        assert line['classes'] == [CLASSES.labels[c] for c in pair.classes]
        torch.testing.assert_close(read_image(task.out / line['images']), pair.image)
        labels = build_format('index-png', CLASSES).read(task.out / line['labels']).label_map
        assert torch.equal(labels, pair.prediction.label_map)
        probs = build_format('npz', CLASSES).read(task.out / line['scores']).planes(range(len(pair.prediction.probs)))
        torch.testing.assert_close(probs, pair.prediction.probs, rtol=0, atol=2e-3)
        shares = [float((labels == c).float().mean()) for c in pair.classes]
        np.testing.assert_allclose([line['areas'][name] for name in line['classes']], shares, atol=1e-6)
    assert report['table'].splitlines()[-1] == f'{COUNT} pictures'
    assert {line['name'] for line in report['images']} == set(names)


class Killed(BaseException):
    pass


def test_killed_at_every_write_and_taken_up_again(make_task, monkeypatch):
    undisturbed, task = make_task('undisturbed', 1), make_task(count=1)
    generate_folder(undisturbed)
    write, left = run_state.atomic_write, 0

    def die(path, content, *, scratch=None):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        write(path, content, scratch=scratch)

    monkeypatch.setattr(run_state, 'atomic_write', die)
    monkeypatch.setattr(run, 'atomic_write', die)
    for kill in range(1, 10):  # settings; record, picture, scores, labels; report, classes, manifest, table
        left = kill
        with pytest.raises(Killed):
            generate_folder(task)
        left = 0
        generate_folder(task)
        assert contents(task.out) == contents(undisturbed.out), kill
        shutil.rmtree(task.out)


def test_what_is_whole_is_not_drawn_again(make_task, monkeypatch):
    task = make_task()
    generate_folder(task)
    (task.out / 'labels/000001.png').unlink()
    drawn, draw = [], PairWorker.__call__
    monkeypatch.setattr(PairWorker, '__call__', lambda self, job: drawn.append(job.name) or draw(self, job))
    generate_folder(task)
    assert drawn == ['000001']


def test_a_data_set_grows_but_does_not_shrink(make_task):
    task, whole = make_task(count=1), make_task('whole')
    generate_folder(task)
    generate_folder(whole)
    generate_folder(make_task())
    assert contents(task.out) == contents(whole.out)
    with pytest.raises(FileExistsError, match=r'images.000001\.png and 5 files more are not among the 1 pictures'):
        generate_folder(task)


def test_shares_in_other_processes(make_task):
    task, whole = make_task(), make_task('whole')
    generate_folder(whole)
    state = RunState(task.out, task.settings())
    state.begin([])
    jobs = [PairJob(i, task.out) for i in range(COUNT)]
    for path in (path for job in jobs for path in job.results):
        path.parent.mkdir(exist_ok=True)
    for share in (jobs[1::2], jobs[::2]):
        take_share(pickle.loads(pickle.dumps(PairWorker(task, state))), share)
    generate_folder(task)
    assert contents(task.out) == contents(whole.out)


def test_a_folder_of_something_else_is_refused(make_task):
    task = make_task(count=1)
    generate_folder(task)
    before = contents(task.out)
    for options, changed in (({**OPTIONS, 'seed': 1}, 'options'), ({**OPTIONS, 'unsure': 0.3}, 'options')):
        with pytest.raises(FileExistsError, match=rf'holds results of other settings \({changed}\)'):
            generate_folder(make_task(count=1, options=options))
    with pytest.raises(FileExistsError, match=r'other settings \(classes'):
        generate_folder(make_task(count=1, classes=ClassList(['background', 'sky', 'fish'])))
    assert contents(task.out) == before
    generate_folder(make_task(count=1, options={**OPTIONS, 'seed': 1}), overwrite=True)
    assert contents(task.out) != before


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(classes=ClassList(['background', 'sky', 'x' * 60])), 'ends at token'),
        (dict(source=dict(type='SeeDiff', prior='tiny', levels=[64])), 'levels: this prior has'),
        (dict(source=dict(type='SeeDiff', prior='tiny', image_size=40)), 'image_size: this prior takes'),
        (dict(options=dict(guidance_scale=-1)), 'guidance: expected'),
    ],
)
def test_nothing_is_left_of_a_run_that_cannot_be(make_task, options, said):
    task = make_task(**options)
    with pytest.raises(ValueError, match=said):
        generate_folder(task)
    assert not task.out.exists()


def test_numbers_that_do_not_fit(make_task):
    with pytest.raises(ValueError, match='count: expected at least 1, got 0'):
        make_task(count=0)
    with pytest.raises(ValueError, match='threads: expected at least 1'):
        make_task(threads=0)
    with pytest.raises(ValueError, match='workers: expected at least 1, got 0'):
        generate_folder(make_task(), workers=0)


def test_the_command(tmp_path, capsys):
    out = tmp_path / 'out'
    command = [
        '--prior',
        'tiny',
        '--classes',
        'sky,fish,ground',
        '--background',
        'ground',
        '--count',
        '1',
        '--size',
        '32',
    ]
    command += ['--steps', '1', '--guidance', '1', '--objects', '1-2', '--prompt', 'a picture of {name}']
    command += ['--method', 'DAAM', '--source-options', 'levels=[2]', '--out', str(out)]
    assert main(command) == 0
    assert capsys.readouterr().out.endswith('1 pictures\n')
    settings = json.loads((out / 'report.json').read_text())['settings']
    assert settings['source'] == dict(
        type='DAAM', prior=dict(source='tiny'), prompt_template='a picture of {name}', image_size=32, levels=[2]
    )
    assert settings['options'] == dict(objects=[1, 2], steps=1, guidance_scale=1.0, unsure=0.1, seed=0)
    assert settings['background_index'] == 2
    assert json.loads((out / 'manifest.jsonl').read_text())['prompt'].startswith('a picture of ')
    assert main([*command, '--seed', '1']) == 1
    assert 'error: ' in (said := capsys.readouterr().err)
    assert 'other settings' in said


@pytest.mark.parametrize('wrong', [['--objects', 'two'], ['--prior-options', 'float16'], ['--method', 'sclip']])
def test_arguments_that_cannot_be_read(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--prior', 'tiny', '--classes', 'sky,fish', '--count', '1', '--out', 'out', *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['prior=animals'], '--source-options prior: another argument says it already'),
        (['type=DAAM'], '--source-options type: another'),
        (['image_size=64'], '--source-options image_size: another'),
        (['levels=2'], 'levels: expected integers, one at least, got 2'),
        (['pamr_iterations=1.5'], 'pamr_iterations: expected an integer'),
        (['background_score=none'], "background_score: expected a number between 0 and 1, or 'rest' or 'mask'"),
    ],
)
def test_options_of_the_source_that_do_not_fit(options, said, capsys, tmp_path):
    command = ['--prior', 'tiny', '--classes', 'sky,fish', '--count', '1', '--size', '32', '--out', str(tmp_path / 'o')]
    assert main([*command, '--source-options', *options]) == 1
    assert f'error: {said}' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()


def test_an_interrupt_ends_with_a_line(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(PairWorker, '__call__', interrupt)
    command = [
        '--prior',
        'tiny',
        '--classes',
        'sky,fish',
        '--count',
        '1',
        '--size',
        '32',
        '--out',
        str(tmp_path / 'out'),
    ]
    assert main(command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == 'interrupted; the same command goes on where it stopped'
