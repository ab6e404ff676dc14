"""Scenes to train on, and their latents."""

import pytest
import torch

from projects.demo.scenes.compose import CLASSES
from projects.demo.scenes.folder import write_split
from projects.train_prior.architecture import build_prior
from projects.train_prior.batches import LatentSet
from projects.train_prior.images import load_training_images


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    list(write_split(root, 'train', 6, size=64))
    return root


@pytest.fixture(scope='module')
def latents(scenes):
    data = load_training_images(scenes / 'images/train', CLASSES, size=(64, 64), labels=scenes / 'labels/train')
    torch.manual_seed(0)
    return LatentSet(data, build_prior(CLASSES).vae.eval(), 'cpu')
