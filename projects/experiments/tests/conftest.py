"""A small set of images in files."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def data(tmp_path):
    """Six images with scores on half their grid, and labels with an unlabelled row."""
    rng = np.random.default_rng(0)
    for folder in ('images', 'scores', 'labels'):
        (tmp_path / folder).mkdir()
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), np.uint8)).save(tmp_path / f'images/im{i}.png')
        probs = rng.dirichlet(np.ones(3), (10, 12)).transpose(2, 0, 1)
        np.savez(tmp_path / f'scores/im{i}.npz', classes=np.arange(3), probs=probs.astype(np.float32))
        labels = rng.integers(0, 3, (20, 24)).astype(np.uint8)
        labels[0] = 255
        Image.fromarray(labels).save(tmp_path / f'labels/im{i}.png')
    Image.fromarray(np.zeros((20, 24, 3), np.uint8)).save(tmp_path / 'images/without_scores.png')
    (tmp_path / 'classes.txt').write_text('sky\ntree\nball\n')
    return tmp_path


PAMR = dict(type='PAMRRefiner', iterations=1, dilations=[1])


def write_config(data, body):
    paths = {name: str(data / name) for name in ('images', 'scores', 'labels')} | {'classes': str(data / 'classes.txt')}
    path = data / 'experiment.py'
    path.write_text(f'sets = dict(real={paths!r}, some=dict({paths!r}, mean_classes=["ball"]))\n{body}')
    return path
