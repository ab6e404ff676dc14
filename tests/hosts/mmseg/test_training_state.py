"""Checkpoints of a training load by torch's safe reader; files that run code do not."""

import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch.torch_version import TorchVersion

from mmseg_g4seg.hosts.mmseg.training_state import allow_training_state

pytestmark = pytest.mark.skipif(TorchVersion(torch.__version__) < '2.6', reason='this torch reads any checkpoint')


class Runs:
    """What a pickled object may ask for while it is read."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return getattr, self.arguments


@pytest.fixture(autouse=True)
def allowed():
    kept = torch.serialization.get_safe_globals()
    allow_training_state()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(kept)


def test_a_checkpoint_with_curves(tmp_path):
    hub = MessageHub('training')
    for loss in (4.0, 2.0):
        hub.update_scalar('train/loss', loss)
    hub.update_info('iter', 2)
    torch.save({'state_dict': {'weight': torch.ones(2)}, 'message_hub': hub.state_dict()}, tmp_path / 'iter_2.pth')
    loaded = torch.load(tmp_path / 'iter_2.pth', weights_only=True)
    assert loaded['state_dict']['weight'].tolist() == [1, 1]
    curve = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(curve, HistoryBuffer)
    assert (curve.mean(), curve.min()) == (3.0, 2.0)


@pytest.mark.parametrize('asked', [(torch.Tensor, 'tolist'), (HistoryBuffer, '__init__'), (str, 'format')])
def test_nothing_else_is_looked_up(tmp_path, asked):
    torch.save({'state_dict': Runs(*asked)}, tmp_path / 'bad.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'bad.pth', weights_only=True)
