from importlib.metadata import PackageNotFoundError

import pytest
from mmengine.config.utils import MODULE2PACKAGE

from mmseg_g4seg.hosts import base_configs


@pytest.mark.parametrize(
    ('installed', 'expected'),
    [
        ({'mmsegmentation'}, 'mmsegmentation'),
        ({'onedl-mmsegmentation'}, 'onedl-mmsegmentation'),
        ({'mmsegmentation', 'onedl-mmsegmentation'}, 'mmsegmentation'),
        (set(), 'untouched'),
    ],
)
def test_names_what_is_installed(monkeypatch, installed, expected):
    def find(name):
        if name not in installed:
            raise PackageNotFoundError(name)

    monkeypatch.setattr(base_configs, 'distribution', find)
    monkeypatch.setitem(MODULE2PACKAGE, 'mmseg', 'untouched')
    base_configs.name_installed_distributions()
    assert MODULE2PACKAGE['mmseg'] == expected
