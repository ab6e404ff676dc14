"""tools/check_dataset.py: the figures by hand, and every complaint with its file and remedy."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_g4seg.evaluation.panels import HEADER, MARGIN, PANEL_HEIGHT
from mmseg_g4seg.hosts.mmseg.checks.full_check import check_dataset
from mmseg_g4seg.hosts.mmseg.checks.label_statistics import SIXTEEN_BITS
from mmseg_g4seg.hosts.mmseg.checks.overlays import OPACITY
from mmseg_g4seg.hosts.mmseg.checks.test_set import check_test_set
from tests.hosts.mmseg.synthetic_trees import LAYOUTS, pairs, write_tree
from tests.hosts.mmseg.test_datasets import CONFIGS, load, nightcity
from tests.io.pictures import write_rgb16
from tests.scripts import run_script


def plain(root: Path, **changes) -> Config:
    """A config with a small data set of three classes: images/*.png, labels/*.png."""
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(root),
        img_suffix='.png',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=dict(classes=('sky', 'tree', 'ball'), palette=[[0, 0, 200], [0, 200, 0], [200, 0, 0]]),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
    )
    dataset.update(changes)
    return Config(dict(test_dataloader=dict(dataset=dataset)))


def write(root: Path, name: str, labels: np.ndarray, size: tuple[int, int] | None = None) -> None:
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*(size or labels.shape[:2]), 3), 100, np.uint8)).save(root / 'images' / f'{name}.png')
    Image.fromarray(labels).save(root / 'labels' / f'{name}.png')


@pytest.fixture
def root(tmp_path) -> Path:
    """Two images: 2 x 4 with sky, tree and an ignored pixel, 2 x 2 with sky alone."""
    write(tmp_path, 'a', np.array([[0, 0, 1, 1], [0, 0, 1, 255]], np.uint8))
    write(tmp_path, 'b', np.zeros((2, 2), np.uint8))
    return tmp_path


def check(config: Config, root: Path, split: str = 'test', **options):
    return check_dataset(config, split, root / 'out', **options)


def test_figures_by_hand(root):
    report = check(plain(root), root)
    assert report.problems == []
    assert report.counts == {
        'images': 2, 'pairs': 2, 'missing_images': 0, 'missing_labels': 0, 'orphan_labels': 0, 'unlabelled_images': 0,
    }  # fmt: skip
    rows = [(row['name'], row['pixels'], row['share'], row['images']) for row in report.classes]
    assert rows == [('sky', 8, 66.6667, 2), ('tree', 3, 25.0, 1), ('ball', 0, 0.0, 0)]
    assert report.ignored_share == 8.3333
    assert report.image_sizes == {'smallest': [2, 2], 'most_common': [4, 2], 'largest': [4, 2], 'different': 2}
    assert report.notes == ['1 of 3 classes never occur: ball']
    assert json.loads((root / 'out/report.json').read_text())['classes'] == report.classes
    table = (root / 'out/table.txt').read_text()
    assert '  0  sky         66.67       2' in table
    assert table.endswith('no problems found\n')


@pytest.mark.parametrize(
    ('classes', 'remedy'), [(('back', 'ball'), 'write 1 in its place'), (('a', 'b', 'c'), 'name two')]
)
def test_objects_in_255(tmp_path, classes, remedy):
    """mmseg leaves 255 out: the object has no pixel, and its IoU is 0."""
    metainfo = dict(classes=classes, palette=[[i, 0, 0] for i in range(len(classes))])
    config = plain(tmp_path, metainfo=metainfo)
    write(tmp_path, 'a', np.array([[0, 255], [0, 0]], np.uint8))
    write(tmp_path, 'b', np.array([[0, 0], [0, 0]], np.uint8))
    (problem,) = check(config, tmp_path).problems
    assert problem.startswith('no label ids but 0 and 255 occur in the whole set, and 255 has no class: ')
    assert remedy in problem
    with pytest.raises(ValueError, match=f'BaseSegDataset: no label ids but 0 and 255 .*{remedy}'):
        check_test_set(config)
    write(tmp_path, 'b', np.array([[0, 1], [0, 0]], np.uint8))
    assert check(config, tmp_path).problems == []
    check_test_set(config)


def test_reduce_zero_label(tmp_path):
    """0 is ignored, 1 to 3 are the classes."""
    write(tmp_path, 'a', np.array([[0, 1, 3, 3]], np.uint8))
    report = check(plain(tmp_path, reduce_zero_label=True), tmp_path)
    assert [row['pixels'] for row in report.classes] == [1, 0, 2]
    assert report.ignored_share == 25.0


def test_label_map_counts_images_once(tmp_path):
    """Ids 0 and 6 are both ignored; 7 is road, 26 car."""
    labels = np.array([[0, 6, 7, 26]], np.uint8)
    folders = [tmp_path / 'NightCity-images/images/val', tmp_path / 'NightCity-label/label/val']
    for folder in folders:
        folder.mkdir(parents=True)
    Image.fromarray(np.zeros((1, 4, 3), np.uint8)).save(folders[0] / 'a.png')
    Image.fromarray(labels).save(folders[1] / 'a_labelIds.png')
    report = check(Config(dict(test_dataloader=dict(dataset=nightcity(tmp_path)))), tmp_path)
    found = {row['name']: (row['pixels'], row['images']) for row in report.classes if row['pixels']}
    assert found == {'road': (1, 1), 'car': (1, 1)}
    assert report.ignored_share == 50.0


def test_overlays(root):
    """Image, blend, labels: by hand for a tree, a sky and an ignored pixel."""
    check(plain(root), root)
    names = sorted(path.name for path in (root / 'out/overlays').iterdir())
    assert names == ['00_a.png', '01_b.png']
    picture = np.asarray(Image.open(root / 'out/overlays/00_a.png'))
    assert picture.shape == (2, 12, 3)
    assert picture[0, 2].tolist() == [100, 100, 100]
    assert picture[0, 4 + 2].tolist() == [100 * (1 - OPACITY), 100 * (1 - OPACITY) + 200 * OPACITY, 50]
    assert picture[0, 8 + 2].tolist() == [0, 200, 0]
    assert picture[1, 4 + 3].tolist() == [100, 100, 100]  # ignored: the image shows
    assert picture[1, 8 + 3].tolist() == [0, 0, 0]
    # a row of titles, then two of captions, panels and margins
    assert Image.open(root / 'out/contact_sheet.png').height == HEADER + 2 * (HEADER + PANEL_HEIGHT + MARGIN)


def test_choice_of_overlays_is_seeded(tmp_path):
    for i in range(9):
        write(tmp_path, f'{i}', np.zeros((2, 2), np.uint8))

    def chosen(seed: int, out: str) -> list[str]:
        check_dataset(plain(tmp_path), 'test', tmp_path / out, images=3, seed=seed)
        return sorted(path.name for path in (tmp_path / out / 'overlays').iterdir())

    assert chosen(0, 'a') == chosen(0, 'b')
    assert len(chosen(0, 'a')) == 3
    assert chosen(0, 'a') != chosen(1, 'c')


def overlays(root: Path) -> list[str]:
    return sorted(path.name for path in (root / 'out/overlays').iterdir())


def test_old_pictures_are_removed(root):
    """Those of the check itself alone, and before anything can fail."""
    check(plain(root), root)
    for name in ('mine.png', 'notes.txt'):
        (root / 'out/overlays' / name).write_bytes(b'')
    assert check(plain(root), root, images=1).files == ['report.json', 'table.txt', 'overlays', 'contact_sheet.png']
    assert len(overlays(root)) == 3
    report = check(plain(root / 'nowhere'), root)
    assert overlays(root) == ['mine.png', 'notes.txt']
    assert not (root / 'out/contact_sheet.png').exists()
    assert report.files == ['report.json', 'table.txt']


def test_overlays_are_of_pairs_that_can_be_read(tmp_path):
    """A label that is cut short, an image that is: others stand in for them, and both are said."""
    for i in range(6):
        write(tmp_path, str(i), np.full((32, 32), i % 3, np.uint8))
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'images/4.png')
    for name in ('labels/1.png', 'images/4.png'):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) - 30])
    report = check(plain(tmp_path), tmp_path, images=4)
    assert [name.split('_')[1] for name in overlays(tmp_path)] == ['0.png', '2.png', '3.png', '5.png']
    assert all(f'{tmp_path}/{name}: ' in ' '.join(report.problems) for name in ('labels/1.png', 'images/4.png'))


def test_an_id_out_of_range(root):
    write(root, 'c', np.array([[0, 3], [7, 7]], np.uint8))
    write(root, 'd', np.array([[7, 7]], np.uint8))
    report = check(plain(root), root)
    path = root / 'labels'
    assert report.unexpected_ids == [
        {'id': 3, 'files': 1, 'first_file': str(path / 'c.png')},
        {'id': 7, 'files': 2, 'first_file': str(path / 'c.png')},
    ]
    assert (
        f'label id 3 in 1 files, {path}/c.png first: expected 0 to 2, 255; set reduce_zero_label' in report.problems[0]
    )
    picture = np.asarray(Image.open(root / 'out/overlays/02_c.png'))
    assert picture[0, 2 * 2 + 1].tolist() == [255, 0, 255]


def test_sixteen_bit_ids(root):
    write(root, 'c', np.array([[0, 300]], np.uint16))
    assert check(plain(root), root).unexpected_ids[0]['id'] == 300


def test_raw_ids_read_as_training_ids(tmp_path):
    """The remedy names the setting."""
    write_tree('nightcity', tmp_path)
    for _, labels in pairs('nightcity', tmp_path):
        labels.rename(labels.with_name(labels.name.replace('_labelIds', '')))
    settings = nightcity(tmp_path, label_ids='trainIds', seg_map_suffix='.png')
    report = check(Config(dict(test_dataloader=dict(dataset=settings))), tmp_path)
    assert any("set label_ids='labelIds'" in problem for problem in report.problems)


def test_training_ids_read_as_raw_ids(tmp_path):
    """All of them are valid raw ids: only what never occurs gives them away."""
    write_tree('nightcity_fine', tmp_path)
    config = load('nightcity_fine', tmp_path)
    config.test_dataloader.dataset.update(label_ids='labelIds', seg_map_suffix='.png')
    for _, labels in pairs('nightcity_fine', tmp_path):
        labels.rename(labels.with_name(labels.name.replace('_trainIds', '')))
    assert any("set label_ids='trainIds'" in problem for problem in check(config, tmp_path).problems)


def test_missing_and_orphan_labels(root):
    (root / 'labels/a.png').rename(root / 'labels/z.png')
    report = check(plain(root), root)
    assert (report.counts['pairs'], report.counts['missing_labels'], report.counts['orphan_labels']) == (1, 1, 1)
    assert f'1 of 2 images have no label file in {root}/labels, {root}/labels/a.png first' in report.problems[0]
    assert any(f'{root}/labels/z.png first' in note for note in report.notes)


def test_wrong_suffixes(root):
    assert "it has 2 files in '.png'" in check(plain(root, img_suffix='.jpg'), root).problems[0]
    report = check(plain(root, seg_map_suffix='_gt.png'), root)
    assert "there are 2 in '.png': if those are the labels, set seg_map_suffix to '.png'" in report.problems[0]


def test_missing_folders(root):
    report = check(plain(root, data_prefix=dict(img_path='images', seg_map_path='annotations')), root)
    assert report.problems == [
        f'{root}/annotations is missing: expected the folder of label files (data_prefix seg_map_path); '
        f"put it there or set data_root, which is '{root}'"
    ]


@pytest.mark.parametrize('name', sorted(LAYOUTS))
def test_missing_data_of_every_config(name, tmp_path):
    """mmseg's own classes among them, some of which stop without a word."""
    report = check(load(name, tmp_path / 'nowhere'), tmp_path)
    assert any('nowhere' in problem and 'is missing' in problem for problem in report.problems)


@pytest.mark.parametrize('name', sorted(LAYOUTS))
def test_every_config(name, tmp_path):
    write_tree(name, tmp_path, images=3)
    report = check(load(name, tmp_path), tmp_path)
    assert report.problems == []
    assert report.counts['pairs'] == 3
    assert len(list((tmp_path / 'out/overlays').iterdir())) == 3


def test_no_class_names_and_no_palette(root):
    report = check(plain(root, metainfo=None), root)
    assert ['class names' in p for p in report.problems] == [True, False]
    assert 'metainfo=dict(classes=(...), palette=[[r, g, b], ...])' in report.problems[1]
    assert [(row['id'], row['pixels']) for row in report.classes] == [(0, 8), (1, 3), (255, 1)]
    report = check(plain(root, metainfo=dict(classes=('sky', 'tree', 'ball'))), root)
    assert len(report.problems) == 1
    assert 'no palette' in report.problems[0]


def test_another_size(root):
    write(root, 'c', np.zeros((3, 5), np.uint8), size=(6, 10))
    (problem,) = check(plain(root), root).problems
    assert f'1 label files have another size than their image, {root}/labels/c.png first: 5 x 3 for 10 x 6' in problem


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif'])
def test_a_photograph_on_its_side(tmp_path, suffix):
    """EXIF turns it, and mmcv with it: labels of the upright picture fit, others name the tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    config = plain(tmp_path, img_suffix=suffix)
    write(tmp_path, 'a', np.zeros((30, 20), np.uint8))
    (tmp_path / 'images/a.png').unlink()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / f'images/a{suffix}', exif=exif)
    report = check(config, tmp_path)
    assert (report.problems, report.image_sizes['largest']) == ([], [20, 30])
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / 'labels/a.png')
    (problem,) = check(config, tmp_path).problems
    assert '30 x 20 for 20 x 30: the image has EXIF orientation 6, which exchanges height and width' in problem


def test_sixteen_bits_of_colour(root):
    """mmcv drops the lower 8: of a camera's 12 bits, 16 levels of black stay."""
    write_rgb16(root / 'images/b.png', np.full((2, 2, 3), 4095, np.uint16))
    problems = check(plain(root), root).problems
    assert problems == [f'{root}/images/b.png: {SIXTEEN_BITS}']


def test_damaged_and_painted_labels(root):
    write(root, 'c', np.zeros((2, 2, 3), np.uint8))
    whole = (root / 'labels/a.png').read_bytes()
    (root / 'labels/a.png').write_bytes(whole[:50])
    problems = check(plain(root), root).problems
    assert len(problems) == 2
    assert str(root / 'labels/a.png') in problems[0]
    assert 'painted label map' in problems[1]


def test_unlabelled_images_are_listed(root):
    paths = [str(root / f'images/c{i:02d}.png') for i in range(14)]
    write(root, 'c00', np.full((2, 2), 255, np.uint8))
    report = check(plain(root), root)
    assert (report.counts['unlabelled_images'], report.problems) == (1, [])
    assert report.notes[0] == f'1 images are wholly ignored: {paths[0]}'
    for i in range(1, 14):
        write(root, f'c{i:02d}', np.full((2, 2), 255, np.uint8))
    report = check(plain(root), root)
    assert report.notes[0] == (f'14 images are wholly ignored: {", ".join(paths[:12])} and 2 more, see report.json')
    assert json.loads((root / 'out/report.json').read_text())['unlabelled'] == paths


def test_a_set_that_is_wholly_ignored(tmp_path):
    write(tmp_path, 'a', np.array([[0, 255], [0, 0]], np.uint8))
    report = check(plain(tmp_path, reduce_zero_label=True), tmp_path)
    (problem,) = report.problems
    assert problem.startswith('no pixel of the whole set has a class: ids [0, 255] are all ignored; expected ids')
    assert 'reduce_zero_label' in problem


def test_an_id_that_does_not_belong_is_not_ignored(tmp_path):
    write(tmp_path, 'a', np.full((2, 2), 9, np.uint8))
    report = check(plain(tmp_path), tmp_path)
    assert report.unlabelled == []
    assert ['label id 9' in problem for problem in report.problems] == [True]


def test_a_zero_label_of_nightcity(tmp_path):
    write_tree('nightcity', tmp_path)
    report = check(Config(dict(test_dataloader=dict(dataset=nightcity(tmp_path, reduce_zero_label=True)))), tmp_path)
    (problem,) = report.problems
    assert 'reduce_zero_label: expected False, got True' in problem


def test_a_pipeline_that_contradicts_the_data_set(root):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', reduce_zero_label=True)]
    (problem,) = check(plain(root, pipeline=pipeline), root).problems
    assert 'the pipeline fails on' in problem
    assert 'reduce_zero_label' in problem


def test_no_such_split_and_joined_sets(root):
    assert 'choose another --split' in check(plain(root), root, 'train').problems[0]
    joined = Config(dict(test_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[]))))
    assert 'joins several data sets' in check(joined, root).problems[0]


def test_a_set_in_a_wrapper(root):
    inner = plain(root).test_dataloader.dataset
    wrapped = Config(dict(train_dataloader=dict(dataset=dict(type='RepeatDataset', times=3, dataset=inner))))
    report = check(wrapped, root, 'train')
    assert (report.dataset, report.counts['images']) == ('BaseSegDataset', 2)


def test_a_part_of_a_set(root):
    assert check(plain(root, indices=1), root).counts['images'] == 1


def test_a_type_that_nobody_registered(root):
    (problem,) = check(plain(root, type='NoSuchDataset'), root).problems
    assert 'cannot be built' in problem
    assert 'NoSuchDataset' in problem


def test_no_labels_at_all(root):
    problems = check(plain(root, data_prefix=dict(img_path='images')), root).problems
    assert problems == ['the data set has no labels: expected seg_map_path in data_prefix']


def test_script(tmp_path):
    write_tree('nightcity', tmp_path / 'data', images=3)
    command = [
        'tools/check_dataset.py', CONFIGS / 'nightcity.py', '--out', tmp_path / 'out',
        '--images', '2', '--cfg-options', f'test_dataloader.dataset.data_root={tmp_path / "data"}',
    ]  # fmt: skip
    result = run_script(*command)
    assert result.returncode == 0, result.stderr
    assert 'NightCityDataset, test split' in result.stdout
    assert result.stdout.splitlines()[-1] == f'{tmp_path}/out: report.json, table.txt, overlays, contact_sheet.png'
    assert len(list((tmp_path / 'out/overlays').iterdir())) == 2
    labels = list(pairs('nightcity', tmp_path / 'data'))[-1][1]
    labels.unlink()
    broken = run_script(*command)
    assert broken.returncode == 1
    assert f'problem: 1 of 3 images have no label file in {labels.parent}, {labels} first' in broken.stdout
