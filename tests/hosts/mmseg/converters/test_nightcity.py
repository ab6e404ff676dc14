"""NightCity's labels on a tree as it is released."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.hosts.mmseg.converters.nightcity import convert_nightcity
from tests.scripts import run_script

SCRIPT = 'tools/dataset_converters/nightcity.py'
RAW = np.array([[7, 26, 23], [0, 33, 255]], np.uint8)
TRAIN = [[0, 13, 10], [255, 18, 255]]


def write(folder: Path, *names: str, labels: np.ndarray = RAW) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(labels).save(folder / name)


@pytest.fixture
def labels(tmp_path) -> Path:
    folder = tmp_path / 'label'
    write(folder / 'train', 'Dubai_0016_labelIds.png', 'Paris_0001_labelIds.png', 'Paris_0001_color.png')
    write(folder / 'val', 'Dubai_0016_labelIds.png', 'Rome_0002_labelIds.png')
    write(folder / 'val' / 'trainid', 'Rome_0002_labelIds.png')
    return folder


def test_converts(labels, tmp_path):
    summary = convert_nightcity(labels, tmp_path / 'out')
    found = sorted(str(path.relative_to(tmp_path / 'out')) for path in (tmp_path / 'out').rglob('*.png'))
    assert found == ['train/Dubai_0016_trainIds.png', 'train/Paris_0001_trainIds.png', 'val/Rome_0002_trainIds.png']
    assert (summary.written, summary.failures) == (3, [])
    assert np.asarray(Image.open(tmp_path / 'out/val/Rome_0002_trainIds.png')).tolist() == TRAIN
    assert summary.pixels[[0, 10, 13, 18, 255]].tolist() == [3, 3, 3, 3, 6]
    assert convert_nightcity(labels, tmp_path / 'out').skipped == 3


def test_an_id_of_none_names_the_file(labels, tmp_path):
    write(labels / 'val', 'Oslo_0003_labelIds.png', labels=np.full((2, 2), 77, np.uint8))
    summary = convert_nightcity(labels, tmp_path / 'out', splits=('val',))
    ((name, reason),) = summary.failures
    assert name.endswith('val/Oslo_0003_labelIds.png')
    assert '[77]' in reason
    assert '0 to 33, 255' in reason
    assert summary.written == 1
    assert not (tmp_path / 'out/val/Oslo_0003_trainIds.png').exists()


@pytest.mark.parametrize('suffix', ['_trainIds.png', '_gtFine_labelTrainIds.png'])
def test_names_of_training_ids_are_refused(labels, tmp_path, suffix):
    """Also among others, where the suffix says nothing."""
    path = labels / f'val/Oslo_0003{suffix}'
    write(labels / 'val', path.name, labels=np.array(TRAIN, np.uint8))
    for given in (suffix, '.png'):
        with pytest.raises(ValueError, match=f'{path}: the name says training ids already.*expected raw ids'):
            convert_nightcity(labels, tmp_path / 'out', splits=('val',), suffix=given)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('ids', [TRAIN, [[0, 13, 10]]], ids=['with 255', 'without'])
def test_a_split_of_training_ids_is_refused(labels, tmp_path, ids):
    """All are valid raw ids. The other split's are raw, and yet nothing is written."""
    write(labels / 'val', 'Rome_0002_labelIds.png', 'Dubai_0016_labelIds.png', labels=np.array(ids, np.uint8))
    with pytest.raises(ValueError, match=r'val/Dubai_0016_labelIds\.png, the first of 2 files.*training ids already'):
        convert_nightcity(labels, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_file_of_training_ids_among_raw_ones(labels, tmp_path):
    write(labels / 'val', 'Oslo_0003_labelIds.png', labels=np.array(TRAIN, np.uint8))
    summary = convert_nightcity(labels, tmp_path / 'out', splits=('val',))
    ((name, reason),) = summary.failures
    assert name.endswith('val/Oslo_0003_labelIds.png')
    assert reason.startswith('label ids [0, 10, 13, 18, 255] are training ids already')
    assert [path.name for path in (tmp_path / 'out/val').iterdir()] == ['Rome_0002_trainIds.png']


def test_painted_and_damaged_labels_fail_alone(labels, tmp_path):
    write(labels / 'val', 'A_labelIds.png', labels=np.zeros((2, 2, 3), np.uint8))
    (labels / 'val/B_labelIds.png').write_bytes((labels / 'val/Rome_0002_labelIds.png').read_bytes()[:40])
    summary = convert_nightcity(labels, tmp_path / 'out', splits=('val',))
    assert [Path(name).name for name, _ in summary.failures] == ['A_labelIds.png', 'B_labelIds.png']
    assert summary.written == 1


def test_missing_folder_and_wrong_suffix(labels, tmp_path):
    with pytest.raises(FileNotFoundError, match='test is missing'):
        convert_nightcity(labels, tmp_path / 'out', splits=('test',))
    with pytest.raises(FileNotFoundError, match=r'train has no file named NAME_ids\.png'):
        convert_nightcity(labels, tmp_path / 'out', suffix='_ids.png')


def test_script(labels, tmp_path):
    write(labels / 'val', 'Oslo_0003_labelIds.png', labels=np.full((2, 2), 77, np.uint8))
    result = run_script(SCRIPT, labels, tmp_path / 'out')
    assert result.returncode == 1, result.stderr
    assert '3 written, 0 already there, 1 failed' in result.stdout
    assert 'Oslo_0003_labelIds.png: label ids [77]' in result.stdout
    (labels / 'val/Oslo_0003_labelIds.png').unlink()
    again = run_script(SCRIPT, labels, tmp_path / 'out')
    assert again.returncode == 0
    assert '0 written, 3 already there' in again.stdout
    missing = run_script(SCRIPT, tmp_path / 'no', tmp_path / 'out')
    assert missing.returncode == 1
    assert missing.stderr.splitlines()[-1].startswith('error: ')
