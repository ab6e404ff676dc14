import pytest

from mmseg_g4seg.io import config_files
from mmseg_g4seg.io.config_files import find_config, read_config
from tests.conftest import ROOT

SHIPPED = sorted((ROOT / 'configs/_base_/refiners').glob('*.py'))


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_read_as_mmengine_reads_them(path):
    config = pytest.importorskip('mmengine.config')
    assert read_config(path) == config.Config.fromfile(path).to_dict()


def write(folder, **files):
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text)


def test_dicts_go_over_those_of_the_base(tmp_path):
    write(
        tmp_path,
        base="part = dict(type='A', inner=dict(x=1, y=(2, 3)))\nkept = 1",
        top="_base_ = './base.py'\npart = dict(inner=dict(x=5))\nother = _base_.part.inner['y'] + (4,)",
    )
    assert read_config(tmp_path / 'top.py') == dict(
        part=dict(type='A', inner=dict(x=5, y=(2, 3))), kept=1, other=(2, 3, 4)
    )


def test_delete_takes_the_bases_place(tmp_path):
    write(
        tmp_path,
        base="part = dict(type='A', x=1)",
        top="_base_ = ['./base.py']\npart = dict(_delete_=True, type='B', whole=_base_.part)",
    )
    assert read_config(tmp_path / 'top.py') == dict(part=dict(type='B', whole=dict(type='A', x=1)))


def test_a_shipped_config_as_base_and_by_name(tmp_path):
    write(tmp_path, top="_base_ = 'mmseg_g4seg::_base_/refiners/pamr.py'\nrefiner = dict(iterations=2)")
    assert read_config(tmp_path / 'top.py') == dict(refiner=dict(type='PAMRRefiner', preset='pamr', iterations=2))
    # in a clone the package's own folder of configs is a link to these
    assert find_config('mmseg_g4seg::_base_/refiners/pamr.py').samefile(ROOT / 'configs/_base_/refiners/pamr.py')


def test_configs_travel_in_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, 'PACKAGE', tmp_path / 'mmseg_g4seg')
    folder = tmp_path / 'mmseg_g4seg/.mim/configs/_base_/refiners'
    folder.mkdir(parents=True)
    write(folder, pamr='refiner = 1')
    assert find_config('mmseg_g4seg::_base_/refiners/pamr.py') == folder / 'pamr.py'


@pytest.mark.parametrize(
    ('text', 'error', 'message'),
    [
        ("_base_ = './nowhere.py'", FileNotFoundError, 'no such config file: .*nowhere.py'),
        ('_base_ = 3', ValueError, 'expected a path or a list of paths, got 3'),
        ("_base_ = 'mmseg::_base_/x.py'", ImportError, 'not installed here: pip install onedl-mmengine'),
        ("_base_ = ['./one.py', './one.py']", ValueError, "bases without a name in common, got 'x' twice"),
        ("_base_ = './one.py'\ny = _base_.z", AttributeError, r"_base_ has no 'z'; it has \['x'\]"),
    ],
)
def test_errors_name_the_fault(tmp_path, text, error, message):
    write(tmp_path, one='x = 1', top=text)
    with pytest.raises(error, match=message):
        read_config(tmp_path / 'top.py')


def test_a_misspelt_name_is_told_the_nearest():
    with pytest.raises(FileNotFoundError, match=r'this package has mmseg_g4seg::_base_/refiners/g4seg_tiny\.py'):
        find_config('configs/_base_/refiners/g4seg_tinny.py')


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / 'a.py').write_bytes("refiner = dict(type='Baum', name='\u00c4ste')\n".encode('utf-8-sig'))
    assert read_config(tmp_path / 'a.py') == {'refiner': {'type': 'Baum', 'name': '\u00c4ste'}}
