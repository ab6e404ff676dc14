"""What a config takes from a base `mmseg_g4seg::…`, which mmengine marks with a scope of that name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import Registry
from mmseg import registry as registries
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_g4seg import registry as parts
from mmseg_g4seg.hosts.mmseg.scope import add_scope
from mmseg_g4seg.hosts.mmseg.segmentor import RefinedSegmentor
from tests.conftest import ROOT

CONFIGS = {path.parent: str(path.relative_to(ROOT / 'configs')) for path in sorted((ROOT / 'configs').glob('**/*.py'))}
"""One of each folder, which name the same parts."""


def taken(folder: Path, *bases: str) -> Config:
    """A user's config of bases of this package."""
    (folder / 'mine.py').write_text(f'_base_ = {[f"mmseg_g4seg::{base}" for base in bases]}\n')
    return Config.fromfile(folder / 'mine.py')


def typed(config: Any) -> Iterator[Mapping[str, Any]]:
    """All dicts of a config that name a part."""
    for value in (
        config.values() if isinstance(config, Mapping) else config if isinstance(config, (list, tuple)) else ()
    ):
        yield from typed(value)
    if isinstance(config, Mapping) and isinstance(config.get('type'), str):
        yield config


@pytest.mark.parametrize('base', CONFIGS.values())
def test_every_name_is_found(tmp_path, base):
    # a Runner asks mmengine's own
    roots = [r.parent for r in vars(registries).values() if isinstance(r, Registry) and r.parent is not None]
    for config in typed(taken(tmp_path, base).to_dict()):
        scope, name = config.get('_scope_'), config['type']
        found = name in parts._PARTS or '.' in name  # another package's, which may be missing
        for root in roots:
            with root.switch_scope_and_registry(scope) as chosen:
                found = found or chosen.get(name) is not None
        assert found, f'{base}: {name} in the scope {scope}'


def test_a_data_set(tmp_path):
    (tmp_path / 'classes.txt').write_text('background\nfish\n')
    for kind in ('images', 'labels'):
        (tmp_path / kind).mkdir()
        Image.fromarray(np.zeros((16, 24, 3) if kind == 'images' else (16, 24), np.uint8)).save(
            tmp_path / kind / '0.png'
        )
    config = taken(tmp_path, '_base_/datasets/generated.py')
    config.train_dataloader.dataset.data_root = str(tmp_path)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert dataset.metainfo['classes'] == ('background', 'fish')
    assert set(dataset[0]) == {'inputs', 'data_samples'}


def test_a_chain(tmp_path):
    model = MODELS.build(taken(tmp_path, 'seediff/seediff_tiny_scenes_g4seg.py').model)
    assert type(model) is RefinedSegmentor


def test_once():
    before = [dict(r.children) for r in vars(registries).values() if isinstance(r, Registry)]
    add_scope()
    assert [dict(r.children) for r in vars(registries).values() if isinstance(r, Registry)] == before
