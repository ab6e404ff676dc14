"""What is said of a test set before a model is built: images of one name, and classes that are not the model's."""

import logging
import shutil

import pytest
from mmengine.config import Config

import mmseg_g4seg  # noqa: F401  registers
from mmseg_g4seg.hosts.mmseg.checks.test_set import check_test_set
from mmseg_g4seg.hosts.mmseg.launch.config import save_predictions, use_tta
from mmseg_g4seg.hosts.mmseg.model_config import scored_classes
from tests.conftest import ROOT
from tests.hosts.mmseg.conftest import plain_config, refined

CONFIGS = ROOT / 'configs'


@pytest.fixture
def warnings(monkeypatch) -> list[tuple[int, str]]:
    said = []
    monkeypatch.setattr(
        'mmseg_g4seg.hosts.mmseg.checks.test_set.print_log', lambda text, **k: said.append((k['level'], text))
    )
    return said


class TestNames:
    """0.png lies in the folders a and b, and the others in one of them."""

    @pytest.fixture
    def config(self, data_root, tmp_path) -> Config:
        for kind in ('images', 'labels'):
            for name in ('a/0', 'a/1', 'b/0', 'b/2'):
                (tmp_path / kind / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(data_root / kind / f'{name[-1]}.png', tmp_path / kind / f'{name}.png')
        return plain_config(tmp_path, tmp_path)

    def test_are_warned_of(self, config, tmp_path, warnings):
        check_test_set(config)
        ((level, said),) = warnings
        assert level == logging.WARNING
        folder = tmp_path / 'images'
        assert said.startswith(
            f'1 image names occur more than once in the test set, {folder}/a/0.png and {folder}/b/0.png first: '
        )

    def test_in_sets_that_are_joined(self, config, tmp_path, warnings):
        """A set that is joined with itself has every image once."""
        whole = config.test_dataloader.dataset
        parts = [{**whole, 'data_prefix': {k: f'{v}/{name}' for k, v in whole.data_prefix.items()}} for name in 'aab']
        config.test_dataloader.dataset = dict(type='ConcatDataset', datasets=parts[:2])
        check_test_set(config)
        assert warnings == []
        config.test_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
        check_test_set(config)
        assert len(warnings) == 1

    def test_are_refused_where_label_maps_are_written(self, config, tmp_path):
        save_predictions(config, str(tmp_path / 'out'))
        with pytest.raises(ValueError, match=rf'a/0\.png and .*b/0\.png first.*written over.*in {tmp_path}/out'):
            check_test_set(config)

    @pytest.mark.parametrize('augmented', [False, True])
    def test_are_refused_where_scores_are_read_by_name(self, config, tmp_path, augmented):
        config.model = dict(type='SavedScoresSegmentor', scores_dir=str(tmp_path), num_classes=5)
        config = refined(config, None, score_type='softmax')
        if augmented:
            use_tta(config)
        with pytest.raises(ValueError, match=r'a/0\.png and .*b/0\.png first: their scores.*scores_dir'):
            check_test_set(config)

    def test_that_differ_say_nothing(self, data_root, tmp_path, warnings):
        config = plain_config(data_root, tmp_path)
        save_predictions(config, str(tmp_path / 'out'))
        check_test_set(config)
        assert warnings == []


class TestClasses:
    def said(self, config: Config) -> str:
        with pytest.raises(ValueError, match='class names are known') as caught:
            check_test_set(config)
        return str(caught.value)

    @pytest.mark.parametrize('kind', ['SegformerHead', 'Mask2FormerHead'])
    @pytest.mark.parametrize('augmented', [False, True])
    def test_of_a_head(self, data_root, tmp_path, kind, augmented):
        config = plain_config(data_root, tmp_path)
        config.model.decode_head = dict(type=kind, num_classes=19, out_channels=256)
        config = refined(config, None)
        if augmented:
            use_tta(config)
        place = 'model.module.segmentor' if augmented else 'model.segmentor'
        said = self.said(config)
        assert f'the model scores 19 classes ({place}.decode_head.num_classes), but 5 class names are known' in said
        assert '(metainfo of test_dataloader.dataset: sky, brick wall, grass ...)' in said

    def test_of_a_data_set_class(self, data_root, tmp_path):
        config = plain_config(data_root, tmp_path)
        config.test_dataloader.dataset.update(type='CityscapesDataset', metainfo=None)
        assert (
            '5 classes (model.decode_head.num_classes), but 19 class names are known (CityscapesDataset.METAINFO: '
            in (self.said(config))
        )

    def test_of_saved_scores(self, data_root, tmp_path):
        config = plain_config(data_root, tmp_path)
        config.model = dict(type='SavedScoresSegmentor', scores_dir=str(tmp_path), num_classes=4)
        assert 'scores 4 classes (model.num_classes), but 5' in self.said(config)

    def test_of_the_last_of_several_heads(self, data_root, tmp_path):
        config = plain_config(data_root, tmp_path)
        config.model.decode_head = [dict(type='FCNHead', num_classes=5), dict(type='OCRHead', num_classes=6)]
        assert 'scores 6 classes (model.decode_head[1].num_classes), but 5' in self.said(config)

    @pytest.mark.parametrize('head', [dict(num_classes=2, out_channels=1), dict(num_classes=1)])
    def test_a_head_of_one_channel_tells_two_apart(self, data_root, tmp_path, head):
        config = plain_config(data_root, tmp_path, num_classes=1)
        config.model.decode_head = dict(type='FCNHead', **head)
        check_test_set(config)
        config.test_dataloader.dataset.metainfo = dict(classes=('a', 'b', 'c'))
        assert 'scores 2 classes' in self.said(config)

    def test_a_model_that_says_nothing_is_left(self, data_root, tmp_path):
        config = plain_config(data_root, tmp_path)
        config.model = dict(type='Own')
        check_test_set(config)

    def test_mask2former_of_mmseg(self):
        config = Config.fromfile(CONFIGS / 'mask2former/mask2former_r50_ade20k_g4seg.py')
        assert scored_classes(config.model) == (150, 'model.segmentor.decode_head.num_classes')
