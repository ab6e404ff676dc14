"""Seeds of a folder: what is written, taken up again, refused; and the paper's three commands."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.cli.refine_masks import main as refine_masks
from mmseg_g4seg.cli.seeds import main
from mmseg_g4seg.coarse.cam import CAMSource
from mmseg_g4seg.coarse.classifiers import MapClassifier
from mmseg_g4seg.coarse.clip_es import CLIPESSource
from mmseg_g4seg.hosts.folder import shares
from mmseg_g4seg.hosts.seeds.run import make_seeds
from mmseg_g4seg.hosts.seeds.task import SeedsTask
from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.prediction import ClassList
from tests.clip_folder import write_clip_folder
from tests.coarse.test_cam import small_resnet
from tests.hosts.folder.conftest import contents

pytest.importorskip('open_clip')
pytest.importorskip('scipy')
NAMES = 'background,sky,hot air balloon,fish'
CLASSES = ClassList(NAMES.split(','))
TAGS = {'a': ['sky', 'fish'], 'b': ['hot air balloon'], 'c': []}
SIZE = (40, 56)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """A small CLIP, by the name that open_clip has for folders."""
    return f'local-dir:{write_clip_folder(tmp_path_factory.mktemp("clip"))}'


@pytest.fixture
def folder(tmp_path):
    """Three images with tags and label maps."""
    (tmp_path / 'images').mkdir()
    (tmp_path / 'truth').mkdir()
    for i, name in enumerate(TAGS):
        rng = np.random.default_rng(i)
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(tmp_path / f'images/{name}.png')
        labels = np.zeros(SIZE, np.uint8)
        for n, tag in enumerate(TAGS[name]):
            labels[:, 20 * n : 20 * n + 20] = NAMES.split(',').index(tag)
        Image.fromarray(labels).save(tmp_path / f'truth/{name}.png')
    (tmp_path / 'tags.json').write_text(json.dumps(TAGS))
    return tmp_path


@pytest.fixture
def task(folder, clip):
    source = dict(type='CLIPESSource', model=clip)
    return SeedsTask(folder / 'images', folder / 'tags.json', folder / 'out', CLASSES, source)


def test_what_is_written_is_what_the_source_says(folder, task, clip):
    report = make_seeds(task)
    assert set(contents(task.out)) == {'a.npy', 'b.npy', 'c.npy', 'report.json'}
    source = CLIPESSource.from_config(clip)
    reader = build_format('clip-es', CLASSES)
    for name, tags in TAGS.items():
        shown = [CLASSES.names.index(tag) for tag in tags]
        expected = source.predict_present(read_image(folder / f'images/{name}.png'), CLASSES, shown)
        read = reader.read(task.out / f'{name}.npy')
        # the authors' format has 16 bits
        torch.testing.assert_close(read.planes(range(len(expected.probs))), expected.probs, rtol=0, atol=2e-3)
    assert [image['classes'] for image in report['images']] == list(TAGS.values())
    assert report['summary'].splitlines()[-1] == 'read them with --format clip-es --background-rule power:1'


def test_classes_have_synonyms(folder, clip):
    """A label names a class by any of its words, and the method reads them all."""
    (folder / 'words.txt').write_text('background\nsky\nhot air balloon, balloon\nfish, shark\n')
    (folder / 'tags.json').write_text(json.dumps({'a': ['sky', 'shark'], 'b': ['balloon'], 'c': []}))
    run = [str(folder / 'images'), str(folder / 'out'), '--labels', str(folder / 'tags.json')]
    assert main([*run, '--classes', str(folder / 'words.txt'), '--options', f'model={clip}']) == 0
    report = json.loads((folder / 'out/report.json').read_text())
    assert [image['classes'] for image in report['images']] == [['sky', 'fish'], ['hot air balloon'], []]
    words = ClassList(['background', 'sky', ('hot air balloon', 'balloon'), ('fish', 'shark')])
    expected = CLIPESSource.from_config(clip).predict_present(read_image(folder / 'images/a.png'), words, [1, 3])
    read = build_format('clip-es', words).read(folder / 'out/a.npy')
    torch.testing.assert_close(read.planes(range(len(expected.probs))), expected.probs, rtol=0, atol=2e-3)
    (folder / 'words.txt').write_text('background\nsky\n\nfish,shark\n')
    assert main([*run, '--classes', str(folder / 'words.txt'), '--options', f'model={clip}']) == 1


def test_three_commands_are_the_papers_table(folder, clip, capsys):
    pytest.importorskip('pydensecrf')
    (folder / 'names.txt').write_text('a\nb\n')
    (folder / 'prior.py').write_text(
        "refiner = dict(type='G4SegRefiner', prior='tiny', image_size=64, update=dict(type='CorrespondenceUpdate', "
        'beta=0.9, confidence_range=(0.0, 1.0)))\n'
    )
    (folder / 'crf.py').write_text("refiner = dict(type='DenseCRFRefiner', preset='clip_es')\n")
    where = {name: str(folder / name) for name in ('images', 'seeds', 'refined', 'crf', 'truth')}
    listed = ['--labels', where['truth'], '--names', str(folder / 'names.txt')]
    given = ['--classes', NAMES, '--format', 'clip-es']
    assert (
        main([where['images'], where['seeds'], '--method', 'clip-es', *given, *listed, '--options', f'model={clip}'])
        == 0
    )
    for masks, out, refiner in (('seeds', 'refined', 'prior.py'), ('refined', 'crf', 'crf.py')):
        run = [where['images'], where[masks], where[out], '--refiner', str(folder / refiner)]
        assert refine_masks([*run, *given, '--labels', where['truth']]) == 0
    printed = capsys.readouterr().out
    assert '2 seeds written' in printed
    assert printed.count('mIoU') >= 2
    before, after = (json.loads((folder / out / 'report.json').read_text())['images'] for out in ('refined', 'crf'))
    assert [image['name'] for image in before] == [image['name'] for image in after] == ['a', 'b']
    assert all(image['changed'] > 0 for image in before)
    reader = build_format('clip-es', CLASSES)
    refined = reader.read(folder / 'crf/a.npy').planes(range(len(CLASSES)))
    assert refined[2].abs().sum() == 0  # no balloon was named


def test_a_killed_run_goes_on_and_a_folder_grows(folder, task, monkeypatch):
    take_share = shares.take_share
    monkeypatch.setattr(shares, 'take_share', lambda worker, jobs, **_: take_share(worker, jobs[:1]))
    with pytest.raises(RuntimeError, match=r'2 of 3 are not done \(b ...\)'):
        make_seeds(task)
    first = (task.out / 'a.npy').read_bytes()
    assert not (task.out / 'b.npy').exists()
    monkeypatch.undo()
    (folder / 'images/d.png').write_bytes((folder / 'images/a.png').read_bytes())
    (folder / 'tags.json').write_text(json.dumps({**TAGS, 'd': TAGS['a']}))
    made = []
    predict = CLIPESSource.predict_present
    monkeypatch.setattr(
        CLIPESSource, 'predict_present', lambda *args, **given: made.append(given['key']) or predict(*args, **given)
    )
    report = make_seeds(task)
    assert made == ['b.png', 'c.png', 'd.png']
    assert [image['name'] for image in report['images']] == ['a', 'b', 'c', 'd']
    assert (task.out / 'd.npy').read_bytes() == (task.out / 'a.npy').read_bytes() == first


def test_faults_of_images_do_not_end_the_run(folder, task):
    (folder / 'images/a.png').write_bytes(b'no image')
    (folder / 'tags.json').write_text(json.dumps({'a': ['sky'], 'b': ['cow']}))
    (folder / 'names.txt').write_text('a\nb\nc\nnone\n')
    names = ['--names', str(folder / 'names.txt'), '--labels', str(folder / 'truth')]
    run = [str(task.images), str(folder / 'other'), '--classes', NAMES, '--options', f'model={task.source["model"]}']
    assert main([*run, *names]) == 1
    errors = {e['name']: e for e in json.loads((folder / 'other/report.json').read_text())['errors']}
    assert set(errors) == {'a', 'none'}
    assert errors['a']['path'] == str(folder / 'images/a.png')
    assert 'got none' in errors['none']['error']
    report = make_seeds(task)
    errors = {e['name']: e['error'] for e in report['errors']}
    assert "got 'cow'" in errors['b']
    assert "has no tags of 'c'" in errors['c']
    assert not report['images']


def test_what_does_not_fit_is_refused_before_anything_is_written(folder, task, capsys):
    run = [str(task.images), str(folder / 'refused'), '--classes', NAMES, '--labels', str(task.tags)]
    model = f'model={task.source["model"]}'
    for more, message in (
        (['--options', model, 'alfa=2'], "no option 'alfa': did you mean 'alpha'"),
        (['--options', model, 'alpha=-1'], 'an exponent above 0'),
        (['--background', 'none', '--options', model], 'expected class 0 to be the background'),
        (['--method', 'cam', '--options', 'model=resnet18', 'weights=none.pth'], 'no file none.pth'),
        (['--names', str(folder / 'none.txt')], 'none.txt'),
    ):
        assert main([*run, *more]) == 1
        assert message in capsys.readouterr().err
    assert not (folder / 'refused').exists()
    make_seeds(task)
    with pytest.raises(FileExistsError, match=r'results of other settings \(background_rule, source\)'):
        make_seeds(SeedsTask(**{**vars(task), 'source': {**task.source, 'alpha': 2.0}}))


def test_a_classifier_makes_seeds(folder, monkeypatch):
    models = pytest.importorskip('torchvision.models')
    monkeypatch.setattr(models, 'get_model', lambda *_, **_given: small_resnet())
    torch.save(small_resnet().state_dict(), folder / 'w.pth')
    run = [str(folder / 'images'), str(folder / 'cam'), '--classes', NAMES, '--labels', str(folder / 'truth')]
    assert main([*run, '--method', 'cam', '--options', 'model=resnet10', f'weights={folder / "w.pth"}']) == 0
    source = CAMSource(MapClassifier(small_resnet()), names=CLASSES.names[1:])
    expected = source.predict_present(read_image(folder / 'images/a.png'), CLASSES, [1, 3])
    read = build_format('irn', CLASSES, rule=source.background_rule).read(folder / 'cam/a.npy')
    torch.testing.assert_close(read.planes(range(len(expected.probs))), expected.probs, rtol=0, atol=1e-4)


def test_any_source_makes_seeds(folder):
    run = [str(folder / 'images'), str(folder / 'seediff'), '--classes', NAMES, '--labels', str(folder / 'truth')]
    assert main([*run, '--method', 'seediff', '--options', 'prior=tiny', 'image_size=32']) == 0
    sums = build_format('irn', CLASSES).read(folder / 'seediff/a.npy').planes(range(len(CLASSES))).sum(dim=0)
    torch.testing.assert_close(sums, torch.ones(SIZE))
