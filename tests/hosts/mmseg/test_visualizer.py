import sys
import types

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image

from mmseg_g4seg.evaluation.panels import GAP, TITLE_HEIGHT, lay_out
from mmseg_g4seg.hosts.base_configs import installed_mmseg
from mmseg_g4seg.hosts.mmseg.launch.config import Drawing, show_predictions
from tests.hosts.mmseg.conftest import SIZES, plain_config, refined

PALETTE = [[200, 10, 0], [0, 220, 30], [5, 0, 240]]
META = {'classes': ('a', 'b', 'c'), 'palette': PALETTE}
H, W = 24, 40
ALPHA = 0.6


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (H, W, 3)).astype(np.uint8)


def sample(stages=('G4Seg',), truth=True, seed=1):
    """A refined data sample of random labels; 255 in the truth."""
    generator = torch.Generator().manual_seed(seed)
    result = SegDataSample(metainfo={'stage_names': list(stages)} if stages else {})
    keys = ['pred_sem_seg', *([] if not stages else ['coarse_sem_seg']), *(['gt_sem_seg'] if truth else [])]
    keys += [f'stage{i}_sem_seg' for i in range(len(stages))]
    for key in keys:
        result.set_data({key: PixelData(data=torch.randint(0, 3, (1, H, W), generator=generator))})
    if truth:
        result.gt_sem_seg.data[0, :3] = 255
    if stages:  # the last stage is the refined mask, as the segmentor writes it
        result.set_data({f'stage{len(stages) - 1}_sem_seg': result.pred_sem_seg})
    return result


def build(save_dir, backends=('LocalVisBackend',), **options):
    config = dict(type='RefinedSegVisualizer', vis_backends=[dict(type=b) for b in backends], alpha=ALPHA, **options)
    visualizer = VISUALIZERS.build({**config, 'save_dir': str(save_dir), 'name': str(save_dir)})
    visualizer.dataset_meta = META
    return visualizer


def blend(image, labels, alpha=ALPHA, palette=PALETTE):
    """Palette over image, by hand; black where there is no label."""
    colours = np.array([*palette, *[[0, 0, 0]] * (256 - len(palette))])[labels.squeeze().numpy()]
    return (image * (1 - alpha) + colours * alpha).astype(np.uint8)


def panels_of(picture, width=W, height=H):
    """Cuts the panels out of a picture, below their titles."""
    below = picture[-height:]
    count = (picture.shape[1] + GAP) // (width + GAP)
    assert picture.shape[1] == count * (width + GAP) - GAP
    return [below[:, i * (width + GAP) :][:, :width] for i in range(count)]


def only_picture(folder):
    (path,) = folder.rglob('*.png')
    return np.asarray(Image.open(path))


class TestPanels:
    def check(self, picture, image, expected):
        panels = panels_of(picture)
        assert len(panels) == 1 + len(expected)
        assert np.array_equal(panels[0], image)
        for panel, mask in zip(panels[1:], expected, strict=True):
            assert np.array_equal(panel, blend(image, mask.data))

    def test_image_coarse_refined_truth(self, image, tmp_path):
        data = sample()
        build(tmp_path).add_datasample('x', image, data, with_labels=False, step=3)
        assert [p.name for p in tmp_path.rglob('*.png')] == ['x_3.png']
        picture = only_picture(tmp_path)
        assert picture.shape[0] == H + TITLE_HEIGHT
        self.check(picture, image, [data.coarse_sem_seg, data.pred_sem_seg, data.gt_sem_seg])

    def test_stages_of_a_chain_if_asked(self, image, tmp_path):
        data = sample(stages=('G4Seg', 'PAMR', 'DenseCRF'))
        build(tmp_path / 'plain').add_datasample('x', image, data, with_labels=False)
        self.check(only_picture(tmp_path / 'plain'), image, [data.coarse_sem_seg, data.pred_sem_seg, data.gt_sem_seg])
        build(tmp_path / 'all', show_stages=True).add_datasample('x', image, data, with_labels=False)
        masks = [data.coarse_sem_seg, data.stage0_sem_seg, data.stage1_sem_seg, data.pred_sem_seg, data.gt_sem_seg]
        self.check(only_picture(tmp_path / 'all'), image, masks)

    @pytest.mark.parametrize(('truth', 'draw_gt'), [(False, True), (True, False)])
    def test_without_truth(self, image, tmp_path, truth, draw_gt):
        data = sample(truth=truth)
        build(tmp_path).add_datasample('x', image, data, draw_gt=draw_gt, with_labels=False)
        self.check(only_picture(tmp_path), image, [data.coarse_sem_seg, data.pred_sem_seg])

    def test_out_file(self, image, tmp_path):
        data = sample(truth=False)
        build(tmp_path / 'v').add_datasample('x', image, data, with_labels=False, out_file=str(tmp_path / 'o.png'))
        self.check(np.asarray(Image.open(tmp_path / 'o.png')), image, [data.coarse_sem_seg, data.pred_sem_seg])
        assert not list((tmp_path / 'v').rglob('*.png'))

    def test_class_names_are_written_onto_masks_by_default(self, image, tmp_path):
        data = sample()
        build(tmp_path).add_datasample('x', image, data)
        _, coarse, *_ = panels_of(only_picture(tmp_path))
        assert not np.array_equal(coarse, blend(image, data.coarse_sem_seg.data))

    @pytest.mark.parametrize('options', [{}, {'draw_gt': False}, {'draw_pred': False}, {'with_labels': False}])
    def test_a_sample_that_nobody_refined_is_drawn_as_mmseg_does(self, image, tmp_path, options):
        backends = [dict(type='LocalVisBackend')]
        theirs = SegLocalVisualizer('theirs', vis_backends=backends, save_dir=str(tmp_path / 'b'), alpha=ALPHA)
        theirs.dataset_meta = META
        # mmseg 1.2.2 has nothing to draw where there is no sample, and raises an AttributeError
        alone = installed_mmseg() != 'mmsegmentation'
        for v in (build(tmp_path / 'a'), theirs):
            v.add_datasample('x', image, sample(stages=()), **options)
            if alone:
                v.add_datasample('image alone', image)
        names = [sorted(p.name for p in (tmp_path / folder).rglob('*.png')) for folder in 'ab']
        assert names[0] == names[1] == [*(['image alone_0.png'] if alone else []), 'x_0.png']
        for ours in (tmp_path / 'a').rglob('*.png'):
            (other,) = (tmp_path / 'b').rglob(ours.name)
            assert ours.read_bytes() == other.read_bytes()


class TestTitles:
    @pytest.mark.parametrize(('height', 'width'), [(24, 40), (300, 200), (1024, 700)])
    def test_fit_above_their_panels(self, height, width):
        blank = np.zeros((height, width, 3), np.uint8)
        drawn = lay_out([('image', blank), ('a long name of a stage', blank)])
        strip = drawn[:-height]
        assert max(TITLE_HEIGHT, height // 30) <= len(strip) <= max(TITLE_HEIGHT, height // 20)
        for left in (0, width + GAP):
            title = strip[:, left : left + width].min(axis=2)
            assert (title < 128).any()
            assert (title[:, -1:] > 128).all(), 'cut off'
            assert (title[[0, -1]] > 128).all(), 'cut off'
        assert (strip[:, width : width + GAP] == 255).all()

    def test_say_which_is_which(self):
        blank = np.zeros((50, 80, 3), np.uint8)
        assert not np.array_equal(*(lay_out([(title, blank)]) for title in ('coarse', 'refined')))


class TestBackends:
    """All of them get the one picture that LocalVisBackend writes."""

    def test_tensorboard(self, image, tmp_path):
        event_accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
        visualizer = build(tmp_path, ('LocalVisBackend', 'TensorboardVisBackend'))
        visualizer.add_datasample('street', image, sample(), with_labels=False, step=4)
        visualizer.close()
        events = event_accumulator.EventAccumulator(str(tmp_path / 'vis_data'))
        events.Reload()
        (event,) = events.Images('street')
        assert event.step == 4
        written = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert np.array_equal(written, only_picture(tmp_path))

    def test_wandb(self, image, tmp_path, monkeypatch):
        logged = []
        wandb = types.ModuleType('wandb')
        wandb.init = lambda **_: None
        wandb.Image = np.array
        wandb.log = lambda row, **_: logged.append(row)
        monkeypatch.setitem(sys.modules, 'wandb', wandb)
        visualizer = build(tmp_path, ('LocalVisBackend', 'WandbVisBackend'))
        visualizer.add_datasample('street', image, sample(), with_labels=False)
        (row,) = logged
        assert list(row) == ['street']
        assert np.array_equal(row['street'], only_picture(tmp_path))


class TestWindow:
    @pytest.mark.parametrize('backend', ['agg', 'svg'])
    def test_without_a_display_nothing_waits(self, image, tmp_path, monkeypatch, backend):
        """mmengine would wait for a key that nobody can press."""
        monkeypatch.setattr('matplotlib.pyplot.get_backend', lambda: backend)
        said = []
        monkeypatch.setattr('mmseg_g4seg.hosts.mmseg.visualizer.print_log', lambda text, **_: said.append(text))
        visualizer = build(tmp_path)
        for step in range(3):
            visualizer.add_datasample('x', image, sample(), show=True, wait_time=0, step=step)
        visualizer.add_datasample('x', image, sample(stages=()), show=True, wait_time=0, step=3)
        assert len(said) == 1
        assert '--show-dir' in said[0]
        assert len(list(tmp_path.rglob('*.png'))) == 4

    def test_with_a_display_the_window_gets_the_picture(self, image, tmp_path, monkeypatch):
        monkeypatch.setattr('matplotlib.pyplot.get_backend', lambda: 'qtagg')
        shown = []
        monkeypatch.setattr(SegLocalVisualizer, 'show', lambda _, *args, **kwargs: shown.append((args, kwargs)))
        build(tmp_path).add_datasample('x', image, sample(), show=True, wait_time=1.5, with_labels=False)
        (((picture,), options),) = shown
        assert options == {'win_name': 'x', 'wait_time': 1.5}
        assert np.array_equal(picture, only_picture(tmp_path))


class TestRun:
    @staticmethod
    def config(data_root, tmp_path):
        return refined(plain_config(data_root, tmp_path / 'w'), dict(type='PAMRRefiner'))

    def test_show_dir(self, data_root, tmp_path):
        """Through mmseg's hook: image, coarse, refined, truth of every image, in the data set's palette."""
        config = self.config(data_root, tmp_path)
        show_predictions(config, Drawing(folder=str(tmp_path / 'painted')))
        Runner.from_cfg(config).test()
        palette = config.test_dataloader.dataset.metainfo.palette
        for i, (height, width) in enumerate(SIZES):
            (path,) = (tmp_path / 'painted').rglob(f'test_{i}.png_*.png')
            image, coarse, after, truth = panels_of(np.asarray(Image.open(path)), width, height)
            assert np.array_equal(image, np.asarray(Image.open(data_root / f'images/{i}.png')))
            labels = np.asarray(Image.open(data_root / f'labels/{i}.png')).astype(int)
            # class names are written onto the masks: most pixels are without
            drawn = (truth == blend(image, torch.from_numpy(labels), 0.8, palette)).all(axis=2)
            assert drawn.mean() > 0.5
            assert coarse.shape == after.shape == (height, width, 3)

    def test_show_without_a_display(self, data_root, tmp_path, monkeypatch):
        monkeypatch.setattr('matplotlib.pyplot.get_backend', lambda: 'agg')
        config = self.config(data_root, tmp_path)
        show_predictions(config, Drawing(show=True, wait_time=0))
        assert 'mBIoU' in Runner.from_cfg(config).test()

    def test_visualizer_of_the_config(self, data_root, tmp_path):
        plain, behind = plain_config(data_root, tmp_path), self.config(data_root, tmp_path)
        own = self.config(data_root, tmp_path)
        own.visualizer.type = 'TheirVisualizer'
        none = self.config(data_root, tmp_path)
        none.pop('visualizer')
        for config in (plain, behind, own, none):
            show_predictions(config, Drawing(folder='folder'))
            assert config.visualizer.save_dir == 'folder'
        types_ = [config.visualizer.type for config in (plain, behind, own, none)]
        assert types_ == ['SegLocalVisualizer', 'RefinedSegVisualizer', 'TheirVisualizer', 'RefinedSegVisualizer']

    def test_config_without_the_hook_gets_it(self):
        config = Config(dict(model=dict(type='X')))
        show_predictions(config, Drawing(show=True, wait_time=0))
        hook = config.default_hooks.visualization
        assert (hook.type, hook.draw, hook.show) == ('SegVisualizationHook', True, True)
