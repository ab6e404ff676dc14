"""The wheel: built, installed into an empty environment, used from an empty folder."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from mmseg_g4seg import __version__
from tests.conftest import ROOT

setuptools = pytest.importorskip('setuptools')

NOT_SOURCES = shutil.ignore_patterns(
    '.git', '.venv*', '.*_cache', '__pycache__', 'build', '*.egg-info', 'data', 'work_dirs'
)
EDIT = """
_base_ = ['mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', 'mmseg_g4seg::_base_/refiners/{refiner}.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
test_evaluator = dict(_delete_=True, type='RefinementMetric', iou_metrics=['mIoU'])
"""


def build(kind: str, source: Path, target: Path) -> Path:
    """Builds an sdist or a wheel as pip does, without a download of setuptools."""
    target.mkdir(exist_ok=True)
    code = f'from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))'
    done = subprocess.run([sys.executable, '-c', code], cwd=source, capture_output=True, text=True, check=False)
    if 'bdist_wheel' in done.stderr and done.returncode:
        pytest.skip(f'setuptools {setuptools.__version__} builds wheels with the package wheel alone: not installed')
    assert done.returncode == 0, done.stderr
    return target / done.stdout.split()[-1]


@pytest.fixture(scope='module')
def sdist(tmp_path_factory) -> Path:
    # a copy, since setuptools leaves what it built beside the sources
    source = shutil.copytree(ROOT, tmp_path_factory.mktemp('clone') / 'source', ignore=NOT_SOURCES, symlinks=True)
    return build('sdist', source, source.parent / 'dist')


@pytest.fixture(scope='module')
def wheel(sdist) -> Path:
    return build('wheel', sdist.parents[1] / 'source', sdist.parent)


@pytest.fixture(scope='module')
def environment(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel, which sees the libraries of this one, but no editable install among them."""
    folder = tmp_path_factory.mktemp('environment') / 'env'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', folder], check=True)
    pip = [sys.executable, '-m', 'pip', '--python', folder / 'bin/python', 'install', '-q', '--no-deps', '--no-index']
    subprocess.run([*pip, '--disable-pip-version-check', wheel], check=True)
    site = next((folder / 'lib').glob('python*/site-packages'))
    (site / 'libraries.pth').write_text(sysconfig.get_path('purelib'))
    return folder


def read(environment: Path, folder: Path, before: str) -> dict:
    """Reads a config in a process of the environment, whose working directory is the config's folder."""
    code = (
        f'{before}\nimport json\nfrom mmengine.config import Config\nconfig = Config.fromfile("config.py")\n'
        'import mmseg_g4seg\n'
        'print(json.dumps([mmseg_g4seg.__file__, config.model.to_dict(), config.test_evaluator.to_dict()]))'
    )
    command = [environment / 'bin/python', '-I', '-c', code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    module, model, evaluator = json.loads(done.stdout.splitlines()[-1])
    assert Path(module).is_relative_to(environment)
    return {'model': model, 'test_evaluator': evaluator}


def test_the_config_edit_from_an_empty_folder(environment, tmp_path):
    pytest.importorskip('mmseg')
    (tmp_path / 'config.py').write_text(EDIT.format(refiner='g4seg_tiny'))
    config = read(environment, tmp_path, 'import mmseg_g4seg')
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    init_default_scope('mmseg')
    model = MODELS.build(config['model'])
    assert type(model).__name__ == 'RefinedSegmentor'
    assert type(model.refiner).__name__ == 'G4SegRefiner'
    assert config['test_evaluator']['type'] == 'RefinementMetric'


def test_the_config_edit_in_scripts_that_know_nothing_of_us(environment, tmp_path):
    """mmseg's own tools read the config first, and import the package by `custom_imports` after that."""
    pytest.importorskip('mmseg')
    edit = EDIT.format(refiner='g4seg_sd21').replace('_base_ = [', "_base_ = __import__('mmseg_g4seg') and [")
    (tmp_path / 'config.py').write_text(edit)
    assert read(environment, tmp_path, '')['model']['refiner']['prior']['dtype'] == 'float16'


def test_the_command(environment, tmp_path):
    command = [environment / 'bin/g4seg', '--version']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f'mmseg_g4seg {__version__}\n'


def test_citation_and_changelog_have_the_version():
    changelog = (ROOT / 'CHANGELOG.md').read_text()
    version, day = re.search(r'^## \[(\d[^]]*)\] - (\S+)$', changelog, re.MULTILINE).groups()
    assert version == __version__
    assert f'\nversion: {version}\ndate-released: {day}\n' in (ROOT / 'CITATION.cff').read_text()


def test_what_the_wheel_holds(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split('/')[0] for name in names} == {'mmseg_g4seg', f'mmseg_g4seg-{__version__}.dist-info'}
    for folder in ('configs', 'tools'):
        files = [p for p in (ROOT / folder).rglob('*') if p.is_file() and '__pycache__' not in p.parts]
        assert {f'mmseg_g4seg/.mim/{p.relative_to(ROOT)}' for p in files} <= set(names)
    wanted = {'py.typed', '.mim/model-index.yml', 'assets/prior_tiny/unet/diffusion_pytorch_model.safetensors'}
    wanted |= {'hosts/web/page.css', 'assets/scenes/star.png'}
    assert {f'mmseg_g4seg/{name}' for name in wanted} <= set(names)
    assert len(names) == len(set(names))


def test_the_sdist_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter='data')
    (unpacked,) = tmp_path.iterdir()
    again = build('wheel', unpacked, tmp_path / 'dist')
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, int]:
    return {info.filename: info.CRC for info in zipfile.ZipFile(wheel).infolist()}
