"""Where the tests of this folder look for everything, and settings that make a run take seconds."""

from pathlib import Path

from projects.reproduction.plans import Places
from tests.conftest import ROOT

LIGHT = {
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
    'test_dataloader.dataset.pipeline.1.scale': (96, 64),
    'model.refiner.update.features._delete_': True,
    'model.refiner.update.features.type': 'DenoiserFeatures',
    'model.refiner.prior.dtype': 'float32',
    'model.refiner.image_size': 64,
    'model.refiner.min_area': 0.05,
}


def places(tmp_path: Path, **changes) -> Places:
    return Places(**{'root': ROOT, 'out': tmp_path / 'out', **changes})
