"""Checkpoints that do not fit the model are noticed before the first image; those that fit, pass."""

import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from mmseg_g4seg.hosts.mmseg.launch.checkpoints import check_checkpoint
from mmseg_g4seg.hosts.mmseg.launch.replicas import ModelReplica
from tests.hosts.mmseg.conftest import plain_config, refined
from tests.scripts import run_script

WEIGHT = 'decode_head.conv_seg.weight'


def build(model: dict) -> nn.Module:
    return MODELS.build(model)


@pytest.fixture
def model(data_root) -> nn.Module:
    return build(plain_config(data_root, Path()).model)


@pytest.fixture
def save(model, tmp_path):
    """Saves the model's own weights with some changed (None: left out), as mmengine does."""

    def call(changes: dict | None = None, prefix: str = '', *, name: str = 'a.pth') -> str:
        weights = {**model.state_dict(), **(changes or {})}
        state = {prefix + key: value for key, value in weights.items() if value is not None}
        torch.save({'state_dict': state, 'meta': {}}, tmp_path / name)
        return str(tmp_path / name)

    return call


class TestThatFit:
    def test_the_models_own(self, model, checkpoint):
        check_checkpoint(model, checkpoint)

    def test_weights_without_a_dict_around(self, model, tmp_path):
        torch.save(model.state_dict(), tmp_path / 'bare.pth')
        check_checkpoint(model, str(tmp_path / 'bare.pth'))

    def test_saved_by_distributed_training(self, model, save):
        check_checkpoint(model, save(prefix='module.'))

    def test_auxiliary_head(self, data_root, model, save):
        """It is not evaluated: it may be in the checkpoint alone, or in the model alone."""
        check_checkpoint(model, save({'auxiliary_head.conv_seg.weight': torch.zeros(5, 8, 1, 1)}))
        config = plain_config(data_root, Path()).model
        head = dict(type='FCNHead', in_channels=8, channels=8, num_classes=5, in_index=0)
        with_head = build({**config, 'auxiliary_head': head})
        assert any(name.startswith('auxiliary_head.') for name in with_head.state_dict())
        check_checkpoint(with_head, save())

    def test_counters_and_buffers(self, model, save):
        counters = {key: None for key in model.state_dict() if key.endswith('num_batches_tracked')}
        assert counters
        check_checkpoint(model, save({**counters, 'decode_head.sampler': torch.zeros(3)}))

    def test_behind_a_refiner_tta_and_a_launcher(self, data_root, checkpoint, save):
        """The wrappers have no weights: the file is the plain model's, and the faults are its, too."""
        config = plain_config(data_root, Path()).model
        wrapped = build(refined(Config(dict(model=config)), None).model)
        augmented = build(dict(type='RefinedSegTTAModel', module=wrapped))
        for outer in (wrapped, augmented, ModelReplica(wrapped), ModelReplica(augmented)):
            check_checkpoint(outer, checkpoint)
            with pytest.raises(ValueError, match=rf'1 are missing \(first: {WEIGHT}\)'):
                check_checkpoint(outer, save({WEIGHT: None}))

    def test_saved_by_a_refined_model(self, data_root, model, tmp_path):
        wrapped = build(refined(plain_config(data_root, Path()), None).model)
        torch.save({'state_dict': wrapped.state_dict()}, tmp_path / 'refined.pth')
        check_checkpoint(model, str(tmp_path / 'refined.pth'))
        check_checkpoint(wrapped, str(tmp_path / 'refined.pth'))

    def test_none_for_saved_scores(self, tmp_path):
        check_checkpoint(build(dict(type='SavedScoresSegmentor', scores_dir=str(tmp_path), num_classes=5)), None)

    def test_home_folder(self, model, save, tmp_path, monkeypatch):
        save()
        monkeypatch.setenv('HOME', str(tmp_path))
        check_checkpoint(model, '~/a.pth')


class TestThatDoNot:
    """Every message names the file and the first weight."""

    def test_missing_file(self, model, tmp_path):
        with pytest.raises(FileNotFoundError, match=rf'{tmp_path}/none\.pth: no such checkpoint'):
            check_checkpoint(model, str(tmp_path / 'none.pth'))
        with pytest.raises(FileNotFoundError, match='no such checkpoint'):
            check_checkpoint(model, str(tmp_path))

    @pytest.mark.parametrize('wrap', [False, True])
    def test_none_for_a_model_with_weights(self, data_root, wrap):
        config = plain_config(data_root, Path())
        model = build((refined(config, None) if wrap else config).model)
        with pytest.raises(ValueError, match=r'got none: EncoderDecoder .*random weights; g4seg test CONFIG CHECK'):
            check_checkpoint(model, None)

    def test_missing_weights(self, model, save):
        with pytest.raises(
            ValueError, match=rf'a\.pth: not a checkpoint of this model.*1 are missing \(first: {WEIGHT}'
        ):
            check_checkpoint(model, save({WEIGHT: None}))

    def test_a_missing_statistic(self, model, save):
        """Not a parameter, but without it batch norm is another one."""
        name = next(name for name in model.state_dict() if name.endswith('running_mean'))
        with pytest.raises(ValueError, match=rf'1 are missing \(first: {name}\)'):
            check_checkpoint(model, save({name: None}))

    def test_weights_of_other_layers(self, model, save):
        extra = {'backbone.layers.9.weight': torch.zeros(1), 'neck.conv.bias': torch.zeros(1)}
        with pytest.raises(ValueError, match=r'2 belong to layers that the model has not \(first: backbone\.layers\.9'):
            check_checkpoint(model, save(extra))

    def test_other_shapes(self, model, save):
        """Another number of classes."""
        changes = {WEIGHT: torch.zeros(7, 8, 1, 1), 'decode_head.conv_seg.bias': torch.zeros(7)}
        expected = rf'2 have another shape \(first: {WEIGHT}, expected \(5, 8, 1, 1\), found \(7, 8, 1, 1\)\)'
        with pytest.raises(ValueError, match=expected) as error:
            check_checkpoint(model, save(changes))
        assert 'missing' not in str(error.value)
        assert 'Give the config that the checkpoint was trained with' in str(error.value)

    def test_another_model(self, data_root, model, tmp_path):
        """All faults in one message."""
        torch.save({'state_dict': nn.Sequential(nn.Linear(2, 2)).state_dict()}, tmp_path / 'b.pth')
        with pytest.raises(ValueError, match=rf'{len(evaluated(model))} are missing .*; 2 belong to layers') as error:
            check_checkpoint(model, str(tmp_path / 'b.pth'))
        assert 'shape' not in str(error.value)

    def test_weights_for_saved_scores(self, checkpoint, tmp_path):
        scores = build(dict(type='SavedScoresSegmentor', scores_dir=str(tmp_path), num_classes=5))
        with pytest.raises(ValueError, match=r'plain\.pth: not a checkpoint of this model, which has 0 weights'):
            check_checkpoint(scores, checkpoint)


def evaluated(model: nn.Module) -> list[str]:
    return [name for name in model.state_dict() if not name.endswith('num_batches_tracked')]


class TestFilesThatAreNoCheckpoints:
    @pytest.mark.parametrize(
        'content',
        [
            b'',
            b'version https://git-lfs.github.com/spec/v1\nsize 9\n',
            b'hello\n',
            b'PK\x03\x04' + bytes(60),
            bytes(99),
        ],
        ids=['empty', 'pointer', 'text', 'half a zip', 'zeros'],
    )
    def test_other_bytes(self, model, tmp_path, content):
        path = tmp_path / 'model.pth'
        path.write_bytes(content)
        said = rf'{path}: expected a checkpoint .*found {len(content)} bytes that are none .*is the download whole\?'
        with pytest.raises(ValueError, match=f'(?s){said}'):
            check_checkpoint(model, str(path))

    def test_cut_off(self, model, save):
        path = Path(save())
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(ValueError, match=r'(?s)a\.pth: expected a checkpoint .*is the download whole'):
            check_checkpoint(model, str(path))

    def test_a_pickled_list(self, model, tmp_path):
        (tmp_path / 'list.pkl').write_bytes(pickle.dumps([1, 2]))
        with pytest.raises(ValueError, match=r'list\.pkl: expected a checkpoint'):
            check_checkpoint(model, str(tmp_path / 'list.pkl'))
        torch.save([1, 2], tmp_path / 'list.pth')
        with pytest.raises(ValueError, match=r'list\.pth: .*\(state_dict\), found an object of type list'):
            check_checkpoint(model, str(tmp_path / 'list.pth'))

    def test_a_dict_without_weights(self, model, tmp_path):
        torch.save({'epoch': 3, 'optimizer': {0: torch.zeros(1)}}, tmp_path / 'o.pth')
        with pytest.raises(ValueError, match=r"o\.pth: .*found a dict with \['epoch', 'optimizer'\]"):
            check_checkpoint(model, str(tmp_path / 'o.pth'))


def test_script(data_root, save, tmp_path):
    """tools/test.py stops with the message, and writes no figure."""
    plain_config(data_root, tmp_path).dump(tmp_path / 'plain.py')
    path = save({WEIGHT: torch.zeros(7, 8, 1, 1)})
    result = run_script('tools/test.py', tmp_path / 'plain.py', path, '--work-dir', tmp_path / 'work')
    assert result.returncode == 1
    assert f'ValueError: {path}: not a checkpoint of this model' in result.stderr
    assert 'mIoU' not in result.stdout + result.stderr
