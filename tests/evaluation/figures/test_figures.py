"""Figures of one image: what is drawn where, and that nothing is cut off."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.cli import figure
from mmseg_g4seg.evaluation.figures import FIGURES, Options, Subject
from mmseg_g4seg.evaluation.figures.drawing import PANEL_SIDE, TITLE, heat_panel, numbered, painted, photo, sheet
from mmseg_g4seg.evaluation.figures.kinds import OVER, UNDER
from mmseg_g4seg.evaluation.figures.subject import deepest
from mmseg_g4seg.ops.palettes import HEAT, MUTED
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.refiners.g4seg.making import make

SCALE = PANEL_SIDE // IMAGE_SIZE


@pytest.fixture(scope='module')
def subject():
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    truth = coarse.label_map.roll(3, 1)
    return Subject(image, coarse, ClassList(NAMES), 'x', truth)


@pytest.fixture
def drawn(monkeypatch):
    """Titles of the panels that a figure has, each with its picture."""
    found = {}

    def keep(rows, legend=()):
        found.update({title: panel for row in rows for title, panel in row}, legend=[name for name, _ in legend])
        return sheet(rows, legend)

    monkeypatch.setattr('mmseg_g4seg.evaluation.figures.kinds.sheet', keep)
    return found


@pytest.mark.parametrize('name', FIGURES)
def test_every_kind_is_drawn(prior, subject, drawn, name):
    options = Options(timesteps=(100, 700), steps=2, guidance=1.0)
    picture = FIGURES[name](make(prior), subject, options)
    assert picture.dtype == np.uint8
    assert picture.shape[1] >= 2 * PANEL_SIDE
    panels = [panel for title, panel in drawn.items() if title != 'legend']
    assert {panel.shape for panel in panels} == {(PANEL_SIDE, PANEL_SIDE, 3)}
    # none is another's copy, as when one mask is drawn under two names
    assert len({panel.tobytes() for panel in panels}) == len(panels)


def test_timesteps_are_reconstructions_at_them(prior, subject, drawn):
    FIGURES['timesteps'](make(prior), subject, Options(timesteps=(100, 700)))
    assert list(drawn) == ['image', 't = 100', 't = 700', 'legend']
    little, much = (np.abs(drawn[f't = {t}'].astype(int) - drawn['image']).mean() for t in (100, 700))
    assert little < much


def test_layouts_need_a_truth(prior, subject):
    with pytest.raises(ValueError, match='layouts: expected true labels beside the coarse mask, got none'):
        FIGURES['layouts'](make(prior), Subject(subject.image, subject.coarse, subject.classes), Options())


def test_regions_of_a_class(prior, subject, drawn):
    FIGURES['regions'](make(prior), subject, Options(class_index=2))
    panel = drawn['too much, too little'][SCALE // 2 :: SCALE, SCALE // 2 :: SCALE].astype(int)  # (H, W, 3)
    coarse, truth = subject.coarse.label_map == 2, subject.truth == 2
    redder = torch.as_tensor(panel[..., 0] - panel[..., 2])
    # crosses and lines hide some pixels of a region, never most of them
    assert (redder[coarse & ~truth] > 100).float().mean() > 0.6
    assert (redder[truth & ~coarse] < -100).float().mean() > 0.6
    assert redder[coarse == truth].abs().float().mean() < 20
    assert OVER[0] - OVER[2] > 100 > -100 > UNDER[0] - UNDER[2]
    assert {'over-segmented', 'under-segmented', 'grass'} <= set(drawn['legend'])


def test_regions_where_masks_agree(prior, subject):
    agreeing = Subject(subject.image, subject.coarse, subject.classes, truth=subject.coarse.label_map)
    with pytest.raises(ValueError, match=r"regions: expected a difference between coarse and true mask of 'sky'"):
        FIGURES['regions'](make(prior), agreeing, Options(class_index=0))


def test_points_of_ones_own(prior, subject, drawn):
    FIGURES['correspondence'](make(prior), subject, Options(points=[(3, 4), (20, 9)]))
    numbers = [title.split(':')[0] for title in drawn if title.startswith('similarity')]
    assert numbers == ['similarity to 1', 'similarity to 2']


class TestDrawing:
    def test_a_mask_is_painted_in_its_colours(self):
        labels = torch.zeros(32, 32).long()
        labels[:, 16:] = 1
        probs = torch.full((3, 32, 32), 1 / 3)
        panel = Subject(torch.zeros(3, 32, 32), Prediction(probs, labels), ClassList(['background', 'a', 'b'])).masked(
            labels
        )
        assert not panel[:, : 15 * SCALE].any(), 'the background is left as it is'
        np.testing.assert_array_equal(panel[5 * SCALE, 24 * SCALE], np.round(0.6 * np.array(MUTED[0])))
        assert (panel[:, 16 * SCALE] == 255).all(), 'a line is around it'

    def test_heat(self):
        values = torch.linspace(0, 1, 32).expand(32, 32)
        panel = heat_panel(torch.zeros(3, 32, 32), values, 0.0, 1.0)
        np.testing.assert_allclose(panel[50, 2], 0.75 * np.array(HEAT[0]), atol=6)
        np.testing.assert_allclose(panel[50, -3], 0.75 * np.array(HEAT[-1]), atol=6)
        lightness = panel[50].astype(int).sum(axis=-1)[::SCALE]
        assert (np.diff(lightness) >= 0).all(), 'it can be read without colours'

    @pytest.mark.parametrize('place', [(0, 0), (0, 31), (31, 0), (31, 31), (16, 16)])
    def test_numbers_are_not_cut_off_at_the_edge(self, place):
        grey = np.full((PANEL_SIDE, PANEL_SIDE, 3), 90, np.uint8)
        middle = np.count_nonzero(numbered(grey, {1: (16, 16)}, (32, 32)) != 90)
        assert np.count_nonzero(numbered(grey, {1: place}, (32, 32)) != 90) > 0.75 * middle

    def test_a_title_and_a_legend_that_are_long(self):
        panel = np.full((PANEL_SIDE, PANEL_SIDE, 3), 200, np.uint8)
        names = [('a class with quite a long name', (9, 9, 9)), ('x' * 200, (8, 8, 8)), ('end', (7, 7, 7))]
        picture = sheet([[('a title that is longer than the panel below it is wide ' * 2, panel)]], names)
        dark = (picture < 128).all(axis=-1)
        title = dark[: TITLE + 4].any(axis=0).nonzero()[0]
        assert title.max() < 8 + PANEL_SIDE
        assert title.max() > PANEL_SIDE // 2
        assert not dark[:, -4:].any(), 'text ends before the edge'
        assert all((picture == value).all(axis=-1).any() for value in (9, 8, 7)), 'every entry has its colour'

    def test_names_beyond_latin(self):
        panel = np.full((PANEL_SIDE, PANEL_SIDE, 3), 200, np.uint8)
        assert (sheet([[('Straße 道', panel)]], [('猫', (1, 2, 3))])[:TITLE] < 128).any()

    def test_the_middle_of_a_region(self):
        region = torch.zeros(40, 40, dtype=torch.bool)
        region[5, :] = True  # a thread
        region[20:31, 22:33] = True
        assert deepest(region) == (25, 27)
        ring = torch.ones(9, 9, dtype=torch.bool)
        ring[2:7, 2:7] = False
        assert ring[deepest(ring)]
        assert deepest(torch.zeros(3, 3, dtype=torch.bool)) is None
        assert deepest(torch.ones(1, 5, dtype=torch.bool)) == (0, 2)

    def test_many_classes_keep_their_own_colours(self):
        names = [f'c{i}' for i in range(30)]
        labels = torch.arange(30).repeat_interleave(2)[None]
        probs = torch.full((30, 1, 60), 1 / 30)
        colours = Subject(torch.zeros(3, 1, 60), Prediction(probs, labels), ClassList(names)).colours
        assert len({tuple(c) for c in colours.tolist()}) == 30

    @pytest.mark.parametrize(
        ('size', 'expected'), [((1024, 2048), (480, 960)), ((500, 400), (500, 400)), ((10, 400), (24, 960))]
    )
    def test_large_and_narrow_images(self, size, expected):
        assert photo(torch.rand(3, *size)).shape == (*expected, 3)
        where = np.ones(size, bool)
        assert painted(torch.rand(3, *size), np.zeros((*size, 3), np.uint8), where).shape == (*expected, 3)

    def test_opacity(self):
        colours = np.full((32, 32, 3), 100, np.uint8)
        panel = painted(torch.ones(3, 32, 32), colours, np.ones((32, 32), bool), opacity=1.0)
        assert (panel[50, 50] == 100).all()


class TestCommand:
    def test_on_a_scene_that_ships(self, tmp_path, capsys):
        assert figure.main(['masks', '--scene', 'star', '--out', str(tmp_path / 'a.png')]) == 0
        assert Image.open(tmp_path / 'a.png').width > 4 * PANEL_SIDE
        assert capsys.readouterr().out == f'{tmp_path / "a.png"}\n'

    def test_on_files(self, prior, subject, tmp_path, monkeypatch):
        class Loaded:
            refiner = make(prior)

        monkeypatch.setattr(figure, 'load_refiner', lambda *_, **__: Loaded())
        pixels = (subject.image.permute(1, 2, 0) * 255).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / 'image.png')
        Image.fromarray(subject.coarse.label_map.byte().numpy()).save(tmp_path / 'mask.png')
        files = [str(tmp_path / 'image.png'), str(tmp_path / 'mask.png'), '--classes', ','.join(NAMES)]
        out = ['--out', str(tmp_path / 'a.png')]
        assert figure.main(['correspondence', *files, *out, '--class', 'grass', '--point', '3,4']) == 0
        with pytest.raises(SystemExit):
            figure.main(['correspondence', *files, *out, '--point', '3;4'])

    def test_an_object_in_0_and_255(self, tmp_path, monkeypatch):
        """As class indices, 255 has no label: the object was missing in mask and truth."""
        seen = []

        def draw(_, subject, __):
            seen.append(subject)
            return np.zeros((2, 2, 3), np.uint8)

        monkeypatch.setitem(figure.FIGURES, 'masks', draw)
        Image.new('RGB', (4, 4)).save(tmp_path / 'image.png')
        drawn = np.arange(16, dtype=np.uint8).reshape(4, 4) // 8 * 255
        Image.fromarray(drawn).save(tmp_path / 'mask.png')
        mask, config = str(tmp_path / 'mask.png'), tmp_path / 'pamr.py'
        config.write_text("refiner = dict(type='PAMRRefiner')")
        files = [str(tmp_path / 'image.png'), mask, '--truth', mask, '--classes', 'cat,background']
        assert figure.main(['masks', *files, '--refiner', str(config), '--out', str(tmp_path / 'a.png')]) == 0
        for labels in (seen[0].coarse.label_map, seen[0].truth):
            assert labels.tolist() == (drawn == 0).tolist()

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['--out', 'a.pdf'], '--out: expected a file that ends with one of .png, .jpg, .jpeg, .webp, got a.pdf'),
            (['--class', 'cat'], "--class: expected one of ['sky', 'brick wall'"),
            (['--truth', 'TRUTH'], 'truth.png: expected labels (32, 32) as the image has, got (4, 4)'),
            (['--format', 'npz'], 'mask.png: expected a file of numpy.save'),
        ],
    )
    def test_what_does_not_fit(self, tmp_path, capsys, monkeypatch, arguments, message):
        monkeypatch.setattr(figure, 'load_refiner', None)  # found out before a prior is loaded
        for name, side in (('image', 32), ('mask', 32), ('truth', 4)):
            Image.new('RGB' if name == 'image' else 'L', (side, side)).save(tmp_path / f'{name}.png')
        files = [str(tmp_path / 'image.png'), str(tmp_path / 'mask.png'), '--classes', ','.join(NAMES)]
        given = [str(tmp_path / 'truth.png') if a == 'TRUTH' else a for a in arguments]
        assert figure.main(['masks', *files, '--out', str(tmp_path / 'a.png'), *given]) == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / 'a.png').exists()

    def test_a_mask_is_needed_beside_an_image(self, capsys):
        with pytest.raises(SystemExit):
            figure.main(['masks', 'image.png', '--out', 'a.png'])
        assert 'MASK and --classes are needed beside IMAGE' in capsys.readouterr().err


def test_a_mask_of_background_alone(prior):
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    classes = ClassList(['background', *NAMES[1:]])
    empty = Prediction(coarse.probs, torch.zeros_like(coarse.label_map))
    refiner = make(prior)
    assert isinstance(refiner, G4SegRefiner)
    for name in ('correspondence', 'regions'):
        with pytest.raises(ValueError, match='expected a mask with a class'):
            FIGURES[name](refiner, Subject(image, empty, classes), Options())
