"""Models that need MMDetection: registered where it is there, a message with the remedy where it is not.

What is installed is replaced, so that the tests say the same in every environment.
"""

from pathlib import Path
from types import ModuleType

import pytest
from mmengine.config import Config

import mmseg_g4seg.hosts.mmseg.mmdetection as mmdetection
from mmseg_g4seg.hosts.mmseg.mmdetection import register_mmdetection
from mmseg_g4seg.hosts.mmseg.segmentor import RefinedSegmentor
from tests.hosts.mmseg.conftest import plain_config

MASK2FORMER = {'type': 'EncoderDecoder', 'decode_head': {'type': 'Mask2FormerHead'}}


@pytest.fixture
def imports(monkeypatch):
    """Pretends that some modules are missing; returns the list of those that were asked for."""

    def call(*missing: str) -> list[str]:
        asked = []

        def import_module(name: str) -> ModuleType:
            asked.append(name)
            if name in missing:
                raise ModuleNotFoundError(f"No module named '{name}'")
            return ModuleType(name)

        monkeypatch.setattr(mmdetection, 'import_module', import_module)
        return asked

    return call


def test_nothing_is_imported_for_plain_models(imports, data_root):
    asked = imports('mmcv.ops', 'mmdet.models')
    register_mmdetection(plain_config(data_root, Path()).model)
    register_mmdetection({'type': 'SavedScoresSegmentor', 'scores_dir': 'Mask2FormerHead'})
    assert asked == []


@pytest.mark.parametrize(
    'model',
    [
        MASK2FORMER,
        {'type': 'EncoderDecoder', 'decode_head': {'type': 'MaskFormerHead'}},
        {'type': 'RefinedSegmentor', 'segmentor': MASK2FORMER, 'refiner': None},
        {'type': 'EncoderDecoder', 'neck': [{'type': 'FPN'}, {'type': 'mmdet.MSDeformAttnPixelDecoder'}]},
        Config(dict(model=MASK2FORMER)).model,
    ],
    ids=['Mask2Former', 'MaskFormer', 'refined', 'scope', 'ConfigDict'],
)
def test_found_at_any_depth(imports, model):
    """The operators first: without them MMDetection's import fails with less to go by."""
    asked = imports()
    register_mmdetection(model)
    assert asked == ['mmcv.ops', 'mmdet.models']


HOSTS = pytest.mark.parametrize(
    ('host', 'mmcv', 'mmdet'),
    [
        ('onedl-mmsegmentation', 'onedl-mmcv ', 'onedl-mmdetection'),
        ('mmsegmentation', 'mmcv==2.1.0', '"mmdet>=3,<3.4"'),
    ],
)
"""What is installed, and its own packages: the other host's would be installed over it."""


@HOSTS
def test_without_operators(imports, monkeypatch, host, mmcv, mmdet):
    monkeypatch.setitem(mmdetection.MODULE2PACKAGE, 'mmseg', host)
    asked = imports('mmcv.ops', 'mmdet.models')
    said = rf"Mask2FormerHead needs mmcv's compiled operators.*MMCV_WITH_OPS=1 pip install .*--no-deps {mmcv}"
    with pytest.raises(ImportError, match=said):
        register_mmdetection(MASK2FORMER)
    assert asked == ['mmcv.ops']


@HOSTS
def test_without_mmdetection(imports, monkeypatch, host, mmcv, mmdet):
    monkeypatch.setitem(mmdetection.MODULE2PACKAGE, 'mmseg', host)
    imports('mmdet.models')
    said = f'Mask2FormerHead needs MMDetection: pip install {mmdet}'
    with pytest.raises(ImportError, match=said) as error:
        register_mmdetection(MASK2FORMER)
    assert "No module named 'mmdet.models'" in str(error.value.__cause__)


def test_operators_that_do_not_load(monkeypatch):
    """Built for another torch: an ImportError of the linker, whose text stays as the cause."""

    def import_module(name: str) -> ModuleType:
        raise ImportError('undefined symbol: _ZN3c10')

    monkeypatch.setattr(mmdetection, 'import_module', import_module)
    with pytest.raises(ImportError, match='compiled operators') as error:
        register_mmdetection(MASK2FORMER)
    assert 'undefined symbol' in str(error.value.__cause__)


def test_the_wrapper_says_so_too(imports):
    """Where no script registers it first, as in init_model."""
    imports('mmdet.models')
    with pytest.raises(ImportError, match='needs MMDetection'):
        RefinedSegmentor(MASK2FORMER)
