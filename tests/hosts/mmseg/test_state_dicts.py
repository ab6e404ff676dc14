"""A refined model's state dict is the plain model's: its keys, and the versions by which heads migrate old ones."""

import copy

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner.checkpoint import get_state_dict
from mmseg.models.decode_heads import SegformerHead
from mmseg.registry import MODELS
from torch import nn

from mmseg_g4seg.hosts.mmseg.launch.config import use_tta
from mmseg_g4seg.hosts.mmseg.launch.replicas import ModelReplica
from mmseg_g4seg.refiners.base import Refiner
from tests.hosts.mmseg.conftest import plain_config, refined

WEIGHT = 'decode_head.conv_seg.weight'


@MODELS.register_module(force=True)
class NegatedBeforeHead(SegformerHead):
    """Up to version 1 its weights were stored with the other sign: one migration too many shows in no key."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
        if (local_metadata.get('version') or 1) < 2:
            key = f'{prefix}conv_seg.weight'
            state_dict[key] = -state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


@pytest.fixture
def config(data_root, tmp_path):
    config = plain_config(data_root, tmp_path)
    config.model.decode_head.type = 'NegatedBeforeHead'
    return config


@pytest.fixture
def plain(config) -> nn.Module:
    return MODELS.build(config.model)


@pytest.fixture
def wrapped(config) -> nn.Module:
    return MODELS.build(refined(config, None).model)


def load_by_torch(model, state):
    model.load_state_dict(state)


def load_nested(model, state):
    """As in a wrapper that torch's loader walks through."""
    outer = nn.Sequential(model)
    plain_names = getattr(state, '_metadata', {})
    inner = type(state)((f'0.{key}', value) for key, value in state.items())
    inner._metadata = {f'0.{name}'.rstrip('.'): version for name, version in plain_names.items()}
    outer.load_state_dict(inner)


def load_by_mmengine(model, state, tmp_path):
    torch.save({'state_dict': state, 'meta': {}}, tmp_path / 'a.pth')
    load_checkpoint(model, str(tmp_path / 'a.pth'), strict=True)


@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('load', ['by_torch', 'nested', 'by_mmengine'])
def test_a_head_that_migrates_by_version(plain, wrapped, tmp_path, load, old):
    """A new checkpoint stays as it is, an old one, which has no versions, is migrated: as in the plain model."""
    state = plain.state_dict()
    if old:
        del state._metadata
    expected = -state[WEIGHT].clone() if old else state[WEIGHT].clone()
    match load:
        case 'by_torch':
            load_by_torch(wrapped, state)
        case 'nested':
            load_nested(wrapped, state)
        case 'by_mmengine':
            load_by_mmengine(wrapped, state, tmp_path)
    assert torch.equal(wrapped.decode_head.conv_seg.weight, expected)
    assert torch.equal(wrapped.segmentor.decode_head.conv_seg.weight, expected)


@pytest.mark.parametrize('tta', [False, True])
@pytest.mark.parametrize('replica', [False, True])
def test_through_a_runner(config, plain, tmp_path, tta, replica):
    torch.save({'state_dict': plain.state_dict(), 'meta': {}}, tmp_path / 'a.pth')
    config = refined(config, None)
    config.load_from = str(tmp_path / 'a.pth')
    if tta:
        use_tta(config)
    runner = Runner.from_cfg(config)
    model = runner.model.module if tta else runner.model
    if replica:
        runner.model = ModelReplica(runner.model)
    runner.load_or_resume()
    assert torch.equal(model.decode_head.conv_seg.weight, plain.decode_head.conv_seg.weight)


@pytest.mark.parametrize('save', [nn.Module.state_dict, get_state_dict], ids=['torch', 'mmengine'])
def test_saved_keys_and_versions_are_the_plain_models(plain, wrapped, save):
    theirs, ours = save(plain), save(wrapped)
    assert list(ours) == list(theirs)
    assert dict(ours._metadata) == dict(theirs._metadata)
    assert ours._metadata['decode_head'] == {'version': 2}
    plain.load_state_dict(ours)
    assert torch.equal(plain.decode_head.conv_seg.weight, wrapped.decode_head.conv_seg.weight)


class TestOneModelInTwoObjects:
    """What is done to the wrapper is done to the segmentor, what lies in none of its layers included."""

    @pytest.fixture
    def own(self, config):
        """A segmentor with a parameter and a buffer of its own."""
        segmentor = MODELS.build(config.model)
        segmentor.scale = nn.Parameter(torch.ones(1))
        segmentor.register_buffer('text', torch.ones(2))
        return MODELS.build(dict(type='RefinedSegmentor', segmentor=segmentor))

    def test_casts(self, own):
        own.double()
        found = {own.segmentor.scale.dtype, own.segmentor.text.dtype, own.segmentor.decode_head.conv_seg.weight.dtype}
        assert found == {torch.float64}
        assert own.text is own.segmentor.text

    def test_parameters_are_trained_once(self, own):
        names = [name for name, _ in own.named_parameters()]
        assert names == [name for name, _ in own.segmentor.named_parameters()]
        assert 'scale' in names
        assert {'scale', 'text'} <= own.state_dict().keys()

    def test_modes(self, own):
        for mode in (False, True):
            own.train(mode)
            assert [m.training for m in (own, own.segmentor, own.segmentor.decode_head)] == [mode] * 3

    def test_copies(self, own):
        twin = copy.deepcopy(own)
        assert twin.scale is twin.segmentor.scale
        assert twin.scale is not own.scale

    def test_an_average_of_weights_is_evaluated(self, config, plain, tmp_path):
        """By mmengine's EMAHook, which copies the model, in a test too, and swaps weights with the copy."""

        class Frozen(Refiner):
            def refine_batch(self, images, predictions, classes, *, keys=None):
                return list(predictions)

        torch.save({'state_dict': plain.state_dict(), 'meta': {}}, tmp_path / 'a.pth')
        config = refined(config, None)
        config.load_from, config.custom_hooks = str(tmp_path / 'a.pth'), [dict(type='EMAHook')]
        runner = Runner.from_cfg(config)
        runner.model.refiner = Frozen()
        runner.call_hook('before_run')
        runner.load_or_resume()
        (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
        twin = hook.ema_model.module
        assert twin.refiner is runner.model.refiner
        assert twin.decode_head is twin.segmentor.decode_head is not runner.model.decode_head
        runner.model.decode_head.conv_seg.weight.data.zero_()
        runner.call_hook('before_test_epoch')
        assert torch.equal(runner.model.segmentor.decode_head.conv_seg.weight, plain.decode_head.conv_seg.weight)

    def test_weights_are_initialised_as_the_segmentor_says(self, config, plain, tmp_path):
        torch.save(plain.state_dict(), tmp_path / 'pretrained.pth')
        config.model.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'pretrained.pth'))
        model = MODELS.build(refined(config, None).model)
        model.init_weights()
        assert torch.equal(model.decode_head.conv_seg.weight, plain.decode_head.conv_seg.weight)
