"""PASCAL-Context's .mat files, with a list of names like the release's."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from scipy.io.matlab import MatReadError

from mmseg_g4seg.hosts.mmseg.converters.pascal_context import (
    CLASSES,
    class_table,
    convert_file,
    convert_pascal_context,
    read_labels_file,
)
from tests.scripts import run_script

# ids of the 59 among the release's 459, which are sorted by name as mmseg's classes are
IDS = (
    2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159,
    162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397,
    415, 416, 420, 424, 427, 440, 445, 454, 458,
)  # fmt: skip
NAMES = {i: f'other {i}' for i in range(1, 460)} | dict(zip(IDS, CLASSES, strict=True))


def labels_text(names: dict[int, str] = NAMES) -> str:
    return ''.join(f'{i}: {name}\n' for i, name in names.items())


@pytest.fixture
def release(tmp_path) -> Path:
    """trainval/*.mat, labels.txt and VOC2010/ImageSets/Main."""
    (tmp_path / 'trainval').mkdir()
    main = tmp_path / 'VOC2010/ImageSets/Main'
    main.mkdir(parents=True)
    for name, raw in {'2008_01': [[2, 9, 1], [458, 459, 260]], '2008_02': [[0, 397]], '2008_03': [[72]]}.items():
        scipy.io.savemat(tmp_path / f'trainval/{name}.mat', {'LabelMap': np.array(raw, np.uint16)})
    (main / 'train.txt').write_text('2008_01\n2008_03\n')
    (main / 'val.txt').write_text('2008_02\n')
    (tmp_path / 'labels.txt').write_text(labels_text())
    return tmp_path


def convert(release: Path, **options):
    return convert_pascal_context(release / 'trainval', release / 'labels.txt', release / 'VOC2010', **options)


def test_classes_are_mmsegs():
    pytest.importorskip('mmseg')
    from mmseg.datasets import PascalContextDataset, PascalContextDataset59

    assert PascalContextDataset59.METAINFO['classes'] == CLASSES
    assert PascalContextDataset.METAINFO['classes'] == ('background', *CLASSES)


def test_converts(release):
    summary = convert(release)
    out = release / 'VOC2010/SegmentationClassContext'
    assert np.asarray(Image.open(out / '2008_01.png')).tolist() == [[1, 2, 0], [59, 0, 36]]
    assert np.asarray(Image.open(out / '2008_02.png')).tolist() == [[0, CLASSES.index('table') + 1]]
    assert (summary.written, summary.failures) == (3, [])
    lists = release / 'VOC2010/ImageSets/SegmentationContext'
    assert (lists / 'train.txt').read_text() == '2008_01\n2008_03\n'
    assert (lists / 'val.txt').read_text() == '2008_02\n'
    assert convert(release).skipped == 3


def test_every_class_by_its_raw_id():
    table = class_table({name.replace(' ', ''): i for i, name in NAMES.items()})
    assert table.shape == (460,)
    assert table[list(IDS)].tolist() == list(range(1, 60))
    assert np.count_nonzero(table) == 59


def test_other_spellings(tmp_path):
    names = NAMES | {427: 'TV', 308: 'potted-plant', 258: 'Motorcycle', 19: 'bed clothes', 397: 'dining table'}
    (tmp_path / 'labels.txt').write_text(labels_text(names))
    table = class_table(read_labels_file(tmp_path / 'labels.txt'))
    assert table[list(IDS)].tolist() == list(range(1, 60))


def test_the_own_name_comes_before_another(tmp_path):
    """Where both table and diningtable are listed, table is the class."""
    (tmp_path / 'labels.txt').write_text(labels_text(NAMES | {112: 'diningtable'}))
    table = class_table(read_labels_file(tmp_path / 'labels.txt'))
    assert (table[112], table[397]) == (0, CLASSES.index('table') + 1)


def test_missing_names_are_named(release):
    (release / 'labels.txt').write_text(labels_text(NAMES | {260: 'mus', 2: 'plane'}))
    with pytest.raises(ValueError, match=r"missing: \['aeroplane', 'mouse'\]"):
        convert(release)


def test_files_that_cannot_be_read_are_named(release):
    folder = release / 'trainval'
    scipy.io.savemat(folder / 'a.mat', {'LabelMap': np.array([[2, 500]], np.uint16)})
    scipy.io.savemat(folder / 'b.mat', {'Labels': np.array([[2]], np.uint16)})
    (folder / 'c.mat').write_bytes((folder / '2008_01.mat').read_bytes()[:150])
    scipy.io.savemat(folder / 'd.mat', {'LabelMap': np.array([[0.5]])})
    failures = {Path(name).name: reason for name, reason in convert(release).failures}
    assert sorted(failures) == ['a.mat', 'b.mat', 'c.mat', 'd.mat']
    assert 'label ids [500] do not belong; expected 0 to 459' in failures['a.mat']
    assert 'LabelMap, found none' in failures['b.mat']
    assert 'got float64' in failures['d.mat']


def test_listed_images_without_labels_are_named(release):
    (release / 'VOC2010/ImageSets/Main/val.txt').write_text('2008_02\n2009_09\n')
    assert convert(release).failures == [('val.txt', '1 of 2 images have no labels, 2009_09 first')]
    assert (release / 'VOC2010/ImageSets/SegmentationContext/val.txt').read_text() == '2008_02\n'


@pytest.mark.parametrize('gone', ['labels.txt', 'VOC2010/ImageSets/Main/train.txt'])
def test_missing_files(release, gone):
    (release / gone).unlink()
    with pytest.raises(FileNotFoundError, match=f'{Path(gone).name} is missing'):
        convert(release)


def test_missing_folder_and_no_files(release):
    with pytest.raises(FileNotFoundError, match='nowhere is missing'):
        convert_pascal_context(release / 'nowhere', release / 'labels.txt', release / 'VOC2010')
    with pytest.raises(FileNotFoundError, match=r'no file named NAME\.mat'):
        convert_pascal_context(release / 'VOC2010', release / 'labels.txt', release / 'VOC2010')


def test_a_line_that_is_none(release):
    (release / 'labels.txt').write_text('1 accordion\n')
    with pytest.raises(ValueError, match="got '1 accordion'"):
        convert(release)


def test_a_file_cut_anywhere_is_damaged_or_complete(release, tmp_path):
    """Padding at the end may be missing; of the labels nothing may."""
    table = (np.arange(460) % 251).astype(np.uint8)
    path = release / 'trainval/2008_01.mat'
    whole, expected = path.read_bytes(), convert_file(path, table)
    damaged = 0
    for length in range(0, len(whole), 3):
        (tmp_path / 'cut.mat').write_bytes(whole[:length])
        try:
            assert np.array_equal(convert_file(tmp_path / 'cut.mat', table), expected)
        except (ValueError, OSError):
            damaged += 1
    assert damaged > 50


@pytest.mark.parametrize('error', [IndexError, UnboundLocalError, TypeError, MatReadError])
def test_what_a_damaged_file_breaks_in_scipy(tmp_path, monkeypatch, error):
    """All of these came out of files with bytes changed at random."""

    def broken(*_, **__):
        raise error('index out of range')

    monkeypatch.setattr(scipy.io, 'loadmat', broken)
    with pytest.raises(ValueError, match=f'damaged, or no .mat file .*{error.__name__}: index out of range'):
        convert_file(tmp_path / 'a.mat', np.zeros(460, np.uint8))


def test_without_scipy(release, monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy', None)
    monkeypatch.delitem(sys.modules, 'scipy.io')
    with pytest.raises(ImportError, match=r'mmseg_g4seg\[mat\]'):
        convert(release)


def test_script(release):
    script = 'tools/dataset_converters/pascal_context.py'
    result = run_script(script, release / 'trainval', release / 'labels.txt', release / 'VOC2010')
    assert result.returncode == 0, result.stderr
    assert '3 written, 0 already there, 0 failed' in result.stdout
    assert 'aeroplane' in result.stdout
