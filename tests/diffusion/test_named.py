"""Priors by name: the embedded one, and those that installed packages announce."""

import json
import shutil
import sys

import pytest

from mmseg_g4seg import load_refiner
from mmseg_g4seg.diffusion import named
from mmseg_g4seg.diffusion.loading import load_prior, loaded_once
from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS, named_prior, prior_names

SETTINGS = {'image_size': 64, 'update': {'type': 'LikelihoodUpdate', 'sharpness': 7.0}}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package that announces one prior, `meadow`, in a folder of Python's path."""

    def install(module: str = 'FOLDER = __import__("pathlib").Path(__file__).parent / "meadow"') -> None:
        (tmp_path / 'meadow_priors.py').write_text(module)
        information = tmp_path / 'meadow_priors-1.0.dist-info'
        information.mkdir()
        (information / 'METADATA').write_text('Metadata-Version: 2.1\nName: meadow-priors\nVersion: 1.0\n')
        (information / 'entry_points.txt').write_text(f'[{named.GROUP}]\nmeadow = meadow_priors:FOLDER\n')
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, 'meadow_priors', raising=False)
        named._announced.cache_clear()

    yield install
    named._announced.cache_clear()


@pytest.fixture
def meadow(install, tmp_path):
    folder = shutil.copytree(EMBEDDED_PRIORS['tiny'], tmp_path / 'meadow')
    (folder / 'refiner.json').write_text(json.dumps(SETTINGS))
    install()
    return folder


def test_an_installed_package_is_found_by_name(meadow):
    assert named_prior('meadow') == meadow
    assert {'meadow', 'tiny'} <= set(prior_names())
    with loaded_once():
        assert load_prior('meadow') is load_prior(meadow)


def test_its_settings_come_with_it(meadow):
    refiner = load_refiner('meadow').refiner
    assert refiner.image_size == (64, 64)
    assert refiner.update.sharpness == 7.0


def test_its_name_is_before_a_folder_of_that_name(meadow, tmp_path, monkeypatch):
    elsewhere = tmp_path / 'elsewhere'
    (elsewhere / 'meadow').mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert named_prior('meadow') == meadow


def test_a_path_is_no_name(meadow):
    assert named_prior(meadow) is None
    assert named_prior('./meadow') is None


def test_a_package_without_its_folder(install, tmp_path):
    install()
    with pytest.raises(FileNotFoundError, match=f"'meadow': meadow_priors:FOLDER names the folder {tmp_path}"):
        load_prior('meadow')


@pytest.mark.parametrize('ask', [load_prior, load_refiner])
def test_an_unknown_name_hears_which_there_are(meadow, ask):
    with pytest.raises(FileNotFoundError, match=r"expected .*one of \[.*'meadow'.*'tiny'\]"):
        ask('medow')


@pytest.mark.parametrize('ask', [load_prior, load_refiner])
def test_who_lacks_the_packaged_ones_hears_where_they_are(monkeypatch, ask):
    monkeypatch.setattr(named, '_announced', dict)
    with pytest.raises(FileNotFoundError, match=r"\['tiny'\]; animals and street come with mmseg-g4seg-priors"):
        ask('street')
