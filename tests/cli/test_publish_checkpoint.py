"""A published checkpoint: weights with their versions, names and colours, nothing else."""

import pytest
import torch
from torch import nn

from mmseg_g4seg.cli.publish_checkpoint import main


@pytest.fixture
def published(tmp_path) -> dict:
    state = nn.Sequential(nn.Linear(2, 3)).state_dict()
    meta = {'dataset_meta': {'classes': ('sky', ('ball', 'globe')), 'palette': [(1, 2, 3), (4, 5, 6)]}, 'cfg': 'text'}
    torch.save({'state_dict': state, 'meta': meta, 'optimizer': {'lr': 1}}, tmp_path / 'in.pth')
    assert main([str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')]) == 0
    return torch.load(tmp_path / 'out.pth', weights_only=True)


def test_what_is_kept(published):
    assert published.keys() == {'state_dict', 'meta'}
    assert published['meta'] == {
        'dataset_meta': {'classes': ('sky', ('ball', 'globe')), 'palette': [[1, 2, 3], [4, 5, 6]]}
    }
    assert published['state_dict'].keys() == {'0.weight', '0.bias'}


def test_versions_stay(published):
    """Without them a head that migrates old weights would migrate new ones."""
    assert published['state_dict']._metadata['0'] == {'version': 1}


@pytest.mark.parametrize('content', [None, b'text', {}, {'state_dict': {}, 'meta': {'dataset_meta': None}}])
def test_what_is_no_checkpoint_is_said_in_a_line(tmp_path, capsys, content):
    if isinstance(content, bytes):
        (tmp_path / 'in.pth').write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / 'in.pth')
    assert main([str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')]) == 1
    assert 'in.pth: expected a checkpoint of an mmengine training, got ' in capsys.readouterr().err
    assert not (tmp_path / 'out.pth').exists()


def test_a_folder_that_is_not_there(published, tmp_path, capsys):
    out = tmp_path / 'none' / 'out.pth'
    assert main([str(tmp_path / 'in.pth'), str(out)]) == 1
    assert capsys.readouterr().err == f'error: {out}: there is no folder {out.parent}\n'
