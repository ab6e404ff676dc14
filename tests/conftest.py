"""Models of the real architectures, small and with random weights; no download, no GPU.

What takes seconds to import is imported where it is used: pytest-xdist's first process, for which the others wait, runs
no test.
"""

import gc
import os
import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fork_server import start_server, stop_server
from tests.random_prior import NAMES, RandomParts, as_prior, build_random_parts

if TYPE_CHECKING:
    from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior

# libraries read it when they are imported
os.environ.setdefault('HF_HUB_OFFLINE', '1')

ROOT = Path(__file__).parents[1]
IMAGE_SIZE = 32

# the libraries' millions of objects are walked again and again for rubbish: a fifth of the time of some tests
gc.set_threshold(20_000, 20, 50)


LONGEST = (
    'test_gpu.py',
    'test_processes.py',
    'test_launchers.py',
    'test_configs.py',
    'test_browser.py',
    'test_notebooks.py',
    'test_inversion.py',
    'test_training.py',
    'test_doubts.py',
    'test_variants.py',
)
"""Files of tests that take half a minute or more."""


def pytest_collection_modifyitems(items):
    """What takes longest begins first: begun last, it would keep one process at work while the others wait."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """What is there before the first test stays."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """Not in xdist's first process, which runs no test."""
    if session.items:
        start_server()


def pytest_unconfigure():
    stop_server()


@pytest.fixture(scope='session', autouse=True)
def quick_configs():
    """Configs are dumped as mmengine writes them, not laid out anew, and mmseg's index is read once: seconds a run."""
    if find_spec('mmengine') is None:
        yield
        return
    import mmengine.fileio

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))
        patch.setattr('mmengine.config.utils.load', cache(mmengine.fileio.load))
        yield


@pytest.fixture(autouse=True)
def same_draws():
    """Every test draws the same numbers, whichever process it runs in and whatever ran before it."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def parts() -> RandomParts:
    return build_random_parts()


@pytest.fixture(scope='session')
def prior(parts: RandomParts) -> 'StableDiffusionPrior':
    return as_prior(parts)


@pytest.fixture(scope='session')
def prior_folder(parts: RandomParts, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp('prior')
    parts.save(folder)
    return folder


def random_case(height: int = 24, width: int = 40, classes: int = len(NAMES), seed: int = 0):
    """An image and an uncertain prediction with smooth class regions."""
    import torch

    from mmseg_g4seg.prediction import Prediction

    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=generator)
    coarse = torch.randn(1, classes, max(2, height // 6), max(2, width // 6), generator=generator)
    logits = torch.nn.functional.interpolate(coarse * 1.5, (height, width), mode='bilinear')[0]
    probs = logits.softmax(0)
    return image, Prediction(probs, probs.argmax(0))
