"""The GPU's script, whole and in miniature, on the CPU; and what it packs."""

import os
import subprocess
import tarfile

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.diffusion.loading import load_prior
from projects.train_prior import gpu
from tests.conftest import ROOT
from tests.fork_server import python_command

STREET = [
    'road',
    'sidewalk',
    'building',
    'fence',
    'pole',
    'traffic sign',
    'vegetation',
    'sky',
    'person',
    'car',
    'bicycle',
]
ANIMALS = [
    'background',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
]
ANIMALS += ['motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'tvmonitor']


def write_set(folder, classes, split, scores=None):
    """Two pictures of two classes each, halves side by side, and unsure scores of them."""
    generator = np.random.default_rng(0)
    for i in range(2):
        labels = np.zeros((32, 40), np.uint8)
        labels[:, 20:] = i + 6
        for kind, content in (
            ('images', generator.integers(255, size=(32, 40, 3), dtype=np.uint8)),
            ('labels', labels),
        ):
            path = folder / kind / split / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
        if scores:
            path = folder / 'coarse' / scores / f'{i}.npz'
            path.parent.mkdir(parents=True, exist_ok=True)
            probs = np.where(labels[None] == np.array([0, i + 6])[:, None, None], 130, 125).astype(np.uint8)
            np.savez(path, classes=np.array([0, i + 6], np.int16), probs=probs)
    (folder / 'classes.txt').write_text('\n'.join(classes) + '\n')


@pytest.fixture
def data(tmp_path):
    street, animals = tmp_path / 'data/camvid', tmp_path / 'data/voc_animals'
    write_set(street, STREET, 'train')
    write_set(animals, ANIMALS, 'train')
    for split in ('day', 'dusk'):
        write_set(street, STREET, split, f'espnetv2_s2.0_cityscapes/{split}')
    for network in ('espnetv2_s0.5', 'espnetv2_s2.0'):
        write_set(animals, ANIMALS, 'val', f'{network}/val')
    return tmp_path / 'data'


@pytest.mark.slow
def test_the_script_in_miniature(data, tmp_path):
    out = tmp_path / 'out'
    environment = {**os.environ, 'MINIATURE': '1', 'PYTHON': python_command()}
    done = subprocess.run(
        [ROOT / 'projects/train_prior/gpu.sh', out, data], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = (out / 'table.md').read_text()
    assert all(name in table for name in ('camvid_day', 'camvid_dusk', 'voc_weak', 'voc_strong'))
    files = [path for path in out.rglob('*') if path.is_file() and 'trainings' not in path.parts]
    assert {path.name for path in files} == {
        *('street.tar', 'animals.tar', 'street.log', 'animals.log', 'table.md', 'table.csv')
    }
    assert all(path.stat().st_size <= 16 * 2**20 for path in files)
    with tarfile.open(out / 'street.tar') as tar:
        tar.extractall(tmp_path / 'back', filter='data')
        assert {'street/denoiser_log.csv', 'street/000002.png'} <= set(tar.getnames())
    prior = load_prior(tmp_path / 'back/street/prior')
    assert tuple(prior.unet.config.block_out_channels) == gpu.WIDTHS
    # what came back is what the next run goes on from
    args = gpu.parse_args([str(out), str(data), '--init', str(tmp_path / 'back')])
    task, _ = gpu.task_and_settings('street', args)
    assert task.init == tmp_path / 'back/street/prior'
    assert task.vae_steps == 0


def test_large_priors_are_cut(tmp_path, monkeypatch):
    (tmp_path / 'run/prior').mkdir(parents=True)
    weights = np.random.default_rng(0).bytes(50_000)
    (tmp_path / 'run/prior/weights').write_bytes(weights)
    monkeypatch.setattr(gpu, 'LARGEST_PART', 20_000)
    gpu.pack('street', tmp_path / 'run', tmp_path)
    parts = sorted(tmp_path.glob('street.tar.*'))
    assert len(parts) > 2
    assert all(part.stat().st_size <= 20_000 for part in parts)
    (tmp_path / 'whole.tar').write_bytes(b''.join(part.read_bytes() for part in parts))
    with tarfile.open(tmp_path / 'whole.tar') as tar:
        assert tar.extractfile('street/prior/weights').read() == weights


def test_a_training_that_fails_leaves_the_other(tmp_path, monkeypatch, capsys):
    def train_and_pack(name, args):
        if name == 'street':
            raise ValueError('no such folder')
        (args.out / f'{name}.tar').write_bytes(b'')

    monkeypatch.setattr(gpu, 'train_and_pack', train_and_pack)
    assert gpu.main([str(tmp_path), str(tmp_path), '--device', 'cpu']) == 1
    assert 'street: no prior (failed), see street.log' in capsys.readouterr().out
    assert (tmp_path / 'animals.tar').exists()
