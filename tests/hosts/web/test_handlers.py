"""What the page does, without Gradio: a run, its files, a point, a class."""

import shlex
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.cli.refine_masks import main as refine_masks
from mmseg_g4seg.hosts.web import handlers
from mmseg_g4seg.hosts.web.downloads import run_files
from mmseg_g4seg.hosts.web.drawing import OVER, UNDER, draw_point, draw_regions, legend
from mmseg_g4seg.hosts.web.handlers import MAKE, PAINT, UPLOAD, Form
from mmseg_g4seg.hosts.web.inputs import named_classes
from mmseg_g4seg.hosts.web.parameters import PARAMETERS, parameter_values, read_choice
from mmseg_g4seg.hosts.web.run import Runner
from mmseg_g4seg.hosts.web.scenes import SCENES

SCENE = SCENES[0]
CONFIG = """
refiner = dict(
    type='G4SegRefiner', prior='tiny', image_size=32, min_area=0.002,
    injection=dict(type='MaskInjector', cross_weight=3.0, self_weight=0.3),
    update=dict(type='LikelihoodUpdate', uncertain_below=0.8, timesteps=(300,)),
)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('page')


@pytest.fixture(scope='module')
def form(folder) -> Form:
    file = folder / 'quick.py'
    file.write_text(CONFIG)
    values = parameter_values(read_choice(str(file)))
    values[[p.option for p in PARAMETERS].index('sharpness')] = 20
    return Form(SCENE.picture, SCENE.names, UPLOAD, SCENE.scores, [], None, str(file), values)


@pytest.fixture(scope='module')
def runner() -> Runner:
    return Runner()


@pytest.fixture(scope='module')
def told() -> list[tuple[float, str]]:
    return []


@pytest.fixture(scope='module')
def shown(form, runner, folder, told):
    return handlers.refine(runner, form, lambda share, words: told.append((share, words)), folder=folder)


def test_a_run_tells_how_far_it_is(shown, told):
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    assert [words for _, words in told if 'pass' in words] == ['Refining: pass 1 of the prior']


def repeat(shown, folder: Path, monkeypatch) -> np.ndarray:
    """Runs the command of the ZIP's README in an empty folder: the refined mask (H, W)."""
    with zipfile.ZipFile(shown.files.run) as file:
        file.extractall(folder)
    monkeypatch.chdir(folder)
    command = next(
        line for line in Path('README.txt').read_text().splitlines() if line.startswith('g4seg refine-masks')
    )
    assert refine_masks(shlex.split(command)[2:]) == 0
    return np.asarray(Image.open('refined/picture.png'))


@pytest.mark.parametrize('way', ['scores', 'strokes'])
def test_the_files_repeat_the_run(shown, form, runner, way, tmp_path, monkeypatch):
    if way == 'strokes':
        colours = np.array([*named_classes(form.names).palette, (0, 0, 0)], np.uint8)
        labels = shown.outcome.coarse.label_map.numpy()
        layer = np.concatenate([colours[labels], np.full((128, 128, 1), 255, np.uint8)], axis=-1)
        strokes = replace(form, way=PAINT, layers=[layer])
        shown = handlers.refine(runner, strokes, lambda *_: None, folder=tmp_path)
        assert shown.outcome.coarse.label_map.equal(torch.from_numpy(labels))
    changed = shown.outcome.coarse.label_map != shown.outcome.refined.label_map
    assert changed.any()
    mask = np.asarray(Image.open(shown.files.mask))
    assert (mask == shown.outcome.refined.label_map.numpy()).all()
    assert (repeat(shown, tmp_path / 'again', monkeypatch) == mask).all()
    # the slider's value, not the file's, is what is repeated
    assert read_choice(str(tmp_path / 'again/refiner.py'))['update']['sharpness'] == 20


def test_the_command_has_the_device(shown):
    readme = run_files(shown.outcome.case, 'cuda')['README.txt'].decode()
    assert readme.endswith(' --device cuda\n')


def test_scores_can_be_read_back(shown):
    with np.load(shown.files.scores) as scores:
        probs, classes = scores['probs'], scores['classes']
    assert probs.sum(axis=0) == pytest.approx(1, abs=0.01)
    decided = classes[probs.astype(np.float32).argmax(axis=0)]
    assert (decided == shown.outcome.refined.label_map.numpy()).mean() > 0.99


def test_summary(shown, form, runner, tmp_path):
    assert "against this scene's true mask" in shown.summary
    assert 'hot air balloon' in shown.summary
    # the truth's numbers mean other classes then
    renamed = replace(form, names=form.names.replace('ball', '<b>Ball</b>', 1))
    found = handlers.refine(runner, renamed, lambda *_: None, folder=tmp_path)
    assert 'true mask' not in found.summary
    assert '&lt;b&gt;Ball&lt;/b&gt;' in found.summary
    assert '<b>' not in found.summary


def test_a_point_and_its_match(shown):
    rebuilt, matched, sentence = handlers.match_point(shown, 4 * 100 + 3, 4 * 20)
    assert rebuilt.shape == matched.shape == (512, 512, 3)
    expected = shown.outcome.correspondence.match(20, 100)
    assert sentence.startswith('Column 100, row 20 (brick wall) is most like column')
    assert f'cosine {expected.cosine:.2f}' in sentence
    row, column = expected.place
    plain = draw_point(shown.picture.pixels, None)
    ring = (rebuilt != draw_point(handlers.rebuilt(shown), None)).any(axis=-1)
    assert abs(np.argwhere(ring).mean(axis=0) - (4 * 20.5, 4 * 100.5)).max() < 2
    # where the match is, the picture keeps its light
    place = matched[4 * row + 2, 4 * column + 2].astype(int), plain[4 * row + 2, 4 * column + 2].astype(int)
    assert abs(place[0] - place[1]).max() < 12
    with pytest.raises(ValueError, match='refine with G4Seg first'):
        handlers.match_point(None, 0, 0)
    with pytest.raises(ValueError, match='expected row 0 to 127'):
        handlers.match_point(shown, 0, 600)


def test_too_much_and_too_little():
    coarse, refined = torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long)
    coarse[0, 0], refined[1, 2] = 1, 1
    drawn = draw_regions(np.full((2, 3, 3), 80, np.uint8), coarse, refined, 1)
    scale = drawn.shape[0] // 2
    middles = drawn[scale // 2 :: scale, scale // 2 :: scale].astype(int)
    for (row, column), colour in (((0, 0), OVER), ((1, 2), UNDER)):
        assert abs(middles[row, column] - colour).max() < 25
    assert middles[0, 1].tolist() == [154, 154, 154]


def test_regions_of_the_class_that_changed_most(shown):
    names, chosen = handlers.most_changed(shown)
    assert chosen in names
    _, counts = handlers.show_regions(shown, chosen)
    before, after = (
        m.label_map == shown.outcome.classes.labels.index(chosen) for m in (shown.outcome.coarse, shown.outcome.refined)
    )
    assert f'taken away: {int((before & ~after).sum())} pixels' in counts
    assert f'added: {int((after & ~before).sum())} pixels' in counts
    with pytest.raises(ValueError, match='refine first'):
        handlers.show_regions(shown, 'unicorn')


def test_a_source_makes_the_mask(form, runner):
    made, pair = handlers.make(runner, form, 'SeeDiff')
    assert made.mask.probs.shape == (7, 128, 128)
    assert pair[0].shape == pair[1].shape == (512, 512, 3)
    picture, classes = handlers.open_picture(form.picture), named_classes(form.names)
    assert handlers.coarse_mask(replace(form, way=MAKE, made=made), picture, classes) is made.mask
    for names in ('background, crate', form.names.replace(classes.labels[-1], 'unicorn')):
        with pytest.raises(ValueError, match='another list of class names'):
            handlers.coarse_mask(replace(form, way=MAKE, made=made, names=names), picture, named_classes(names))
    with pytest.raises(ValueError, match='another picture'):
        handlers.preview(replace(form, way=MAKE, made=made, picture=SCENES[1].picture))
    with pytest.raises(ValueError, match='press "Make a coarse mask" first'):
        handlers.coarse_mask(replace(form, way=MAKE), picture, classes)


def test_a_refiner_that_reconstructs_nothing(form, runner, tmp_path):
    plain = replace(form, refiner='PAMR alone', values=parameter_values(read_choice('PAMR alone')))
    found = handlers.refine(runner, plain, lambda *_: None, folder=tmp_path)
    assert found.outcome.correspondence is None
    with pytest.raises(ValueError, match='reconstruction'):
        handlers.match_point(found, 3, 3)


def test_a_prior_is_loaded_once_whatever_the_sliders_say(form, runner):
    prior = runner._prior('tiny')
    assert runner._with_priors(form.config)['prior'] is prior


def test_a_mask_of_background_alone_has_no_correspondence(form, runner, tmp_path):
    """The prior has nothing to reconstruct; the mask stays."""
    Image.fromarray(np.zeros((128, 128), np.uint8)).save(tmp_path / 'empty.png')
    empty = replace(form, names='background, star', mask_file=tmp_path / 'empty.png')
    found = handlers.refine(runner, empty, lambda *_: None, folder=tmp_path)
    assert found.outcome.correspondence is None
    assert not found.outcome.refined.label_map.any()


def test_text_in_a_legend_is_text():
    assert '<script>' not in legend([('<script>', (1, 2, 3))])


@pytest.mark.parametrize('scene', SCENES, ids=lambda scene: scene.name)
def test_shipped_scenes_fit_together(scene):
    pair = handlers.preview(Form(scene.picture, scene.names, UPLOAD, scene.scores, [], None, 'tiny', []))
    assert pair[0].shape == pair[1].shape
    truth = handlers.scene_truth(scene.picture, scene.names)
    assert truth.shape == (128, 128)
    assert int(truth.max()) < len(scene.names.split(','))
    assert handlers.scene_truth(scene.picture, 'a, b') is None
