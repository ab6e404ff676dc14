"""Data sets and their configs, each on a synthetic tree in its own layout."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.datasets import CityscapesDataset, COCOStuffDataset, PascalVOCDataset
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image
from torch.utils.data import DataLoader

import mmseg_g4seg  # noqa: F401  registers
from mmseg_g4seg.hosts.mmseg.checks.test_set import check_test_set
from mmseg_g4seg.hosts.mmseg.datasets.cityscapes_ids import CLASSES, LABEL_MAP
from tests.conftest import ROOT
from tests.hosts.mmseg.synthetic_trees import LAYOUTS, pairs, write_tree

CONFIGS = ROOT / 'configs/_base_/datasets'
TRAINED = sorted(set(LAYOUTS) - {'camvid', 'dark_zurich', 'night_driving'})
NUM_CLASSES = {
    'ade20k': 150,
    'voc12': 21,
    'voc12_20': 20,
    'pascal_context59': 59,
    'pascal_context60': 60,
    'coco_object': 81,
    'scenes': 14,
}


def config_file(name: str) -> Path:
    return ROOT / 'projects/demo/configs/scenes.py' if name == 'scenes' else CONFIGS / f'{name}.py'


def load(name: str, root: Path) -> Config:
    config = Config.fromfile(config_file(name))
    for split in ('train', 'val', 'test'):
        if f'{split}_dataloader' in config:
            config[f'{split}_dataloader'].dataset.data_root = str(root)
    return config


def nightcity(root: Path, split: str = 'val', **changes) -> dict:
    """The settings of NightCity as released, below a folder."""
    return dict(
        type='NightCityDataset',
        data_root=str(root),
        split=split,
        label_ids='labelIds',
        img_suffix='.png',
        seg_map_suffix='_labelIds.png',
        data_prefix=dict(
            img_path=f'NightCity-images/images/{split}', seg_map_path=f'NightCity-label/label/{split}'
        ),
        pipeline=[dict(type='LoadCheckedAnnotations', num_classes=19)],
    ) | changes  # fmt: skip


def test_every_config_has_a_tree():
    # pictures that were generated are for training: `test_generated.py`
    tested = {path.stem for path in CONFIGS.glob('*.py')} - {'generated'}
    assert tested | {'scenes'} == set(LAYOUTS)


@pytest.mark.parametrize('name', sorted(LAYOUTS))
def test_configs_read_their_layout(name, tmp_path):
    """Every image of the split, its own size, its labels as classes."""
    write_tree(name, tmp_path, size=(40, 56))
    config = load(name, tmp_path)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 2
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == NUM_CLASSES.get(name, 19)
    labels_of = {str(image): labels for image, labels in pairs(name, tmp_path)}
    layout = LAYOUTS[name]
    for item in dataset:
        sample = item['data_samples']
        assert sample.ori_shape == (40, 56)
        raw = np.asarray(Image.open(labels_of[sample.img_path]))
        expected = np.full(raw.shape, 255)
        for class_id, raw_id in enumerate(layout.ids):
            expected[raw == raw_id] = class_id
        found = sample.gt_sem_seg.data.squeeze().numpy()
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(found)) >= 4


@pytest.mark.parametrize('name', TRAINED)
def test_training_splits(name, tmp_path):
    """Other images than those of the test, cropped, labels below the number of classes."""
    write_tree(name, tmp_path, size=(40, 56))
    config = load(name, tmp_path)
    train, test = (DATASETS.build(config[f'{split}_dataloader'].dataset) for split in ('train', 'test'))
    paths = [{info['img_path'] for info in map(d.get_data_info, range(len(d)))} for d in (train, test)]
    assert not paths[0] & paths[1]
    assert len(paths[0]) == 2
    labels = train[0]['data_samples'].gt_sem_seg.data.numpy()
    assert set(np.unique(labels)) <= {*range(NUM_CLASSES.get(name, 19)), 255}


@pytest.mark.parametrize('name', sorted(set(LAYOUTS) - {'camvid'}))
def test_metric_and_augmentation(name, tmp_path):
    write_tree(name, tmp_path)
    config = load(name, tmp_path)
    if name != 'scenes':  # of which plain models are trained
        assert config.val_evaluator.type == config.test_evaluator.type == 'RefinementMetric'
        assert config.test_evaluator.iou_metrics == ['mIoU']
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    item = DATASETS.build(config.test_dataloader.dataset)[0]
    assert len(item['inputs']) in (6, 12)
    assert {sample.get('flip') for sample in item['data_samples']} == {False, True}


def test_trees_are_repeatable(tmp_path):
    for folder, seed in (('a', 0), ('b', 0), ('c', 1)):
        write_tree('voc12', tmp_path / folder, seed=seed)
    (a, b, c) = (next(pairs('voc12', tmp_path / folder))[1].read_bytes() for folder in 'abc')
    assert a == b != c


class TestNightCity:
    def write(self, root: Path, split: str, name: str, labels: np.ndarray, suffix: str = '_labelIds.png') -> None:
        for folder, file, pixels in (
            (f'NightCity-images/images/{split}', f'{name}.png', np.zeros((*labels.shape, 3), np.uint8)),
            (f'NightCity-label/label/{split}', name + suffix, labels),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / folder / file)

    def test_classes_are_cityscapes(self, tmp_path):
        self.write(tmp_path, 'val', 'a', np.zeros((2, 2), np.uint8))
        dataset = DATASETS.build(nightcity(tmp_path))
        assert dataset.metainfo['classes'] == CityscapesDataset.METAINFO['classes'] == CLASSES
        assert dataset.metainfo['palette'] == CityscapesDataset.METAINFO['palette']

    def test_all_34_ids(self, tmp_path):
        raw = np.array([*range(34), 255, 255], np.uint8).reshape(4, 9)
        self.write(tmp_path, 'val', 'a', raw)
        labels = DATASETS.build(nightcity(tmp_path))[0]['gt_seg_map']
        by_hand = [
            255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12,
            13, 14, 15, 255, 255, 16, 17, 18, 255, 255,
        ]  # fmt: skip
        assert labels.ravel().tolist() == by_hand
        assert [LABEL_MAP[i] for i in range(34)] == by_hand[:34]

    def test_fewer_classes(self, tmp_path):
        """Classes asked for are numbered anew, from raw ids and from training ids alike."""
        self.write(tmp_path, 'val', 'a', np.array([[7, 26, 23, 0]], np.uint8))
        pipeline = [dict(type='LoadCheckedAnnotations', num_classes=2)]
        chosen = dict(metainfo=dict(classes=('car', 'road')), pipeline=pipeline)
        dataset = DATASETS.build(nightcity(tmp_path, **chosen))
        assert dataset[0]['gt_seg_map'].tolist() == [[1, 0, 255, 255]]
        self.write(tmp_path, 'train', 'a', np.array([[0, 13, 10, 255]], np.uint8), '_trainIds.png')
        settings = dict(label_ids='trainIds', seg_map_suffix='_trainIds.png')
        dataset = DATASETS.build(nightcity(tmp_path, 'train', **settings, **chosen))
        assert dataset[0]['gt_seg_map'].tolist() == [[1, 0, 255, 255]]

    def test_the_stray_file(self, tmp_path, monkeypatch):
        """Dropped from val, said so; kept in train."""
        logged = []
        monkeypatch.setattr(
            'mmseg_g4seg.hosts.mmseg.datasets.nightcity.print_log', lambda *a, **k: logged.append((a, k))
        )
        for split in ('train', 'val'):
            for name in ('Dubai_0016', 'Dubai_0017'):
                self.write(tmp_path, split, name, np.zeros((2, 2), np.uint8))
        train = DATASETS.build(nightcity(tmp_path, 'train'))
        assert len(train) == 2
        assert logged == []
        val = DATASETS.build(nightcity(tmp_path))
        assert [Path(val.get_data_info(i)['img_path']).name for i in range(len(val))] == ['Dubai_0017.png']
        ((message,), options), *_ = logged
        assert 'Dubai_0016.png' in message
        assert '1 images remain' in message
        assert options['level'] == logging.INFO

    def test_the_stray_file_needs_no_label(self, tmp_path):
        for name in ('Dubai_0016', 'Dubai_0017'):
            self.write(tmp_path, 'val', name, np.zeros((2, 2), np.uint8))
        (tmp_path / 'NightCity-label/label/val/Dubai_0016_labelIds.png').unlink()
        assert len(DATASETS.build(nightcity(tmp_path))) == 1

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (dict(label_ids='trainIds'), "says labelIds, but label_ids is 'trainIds': set label_ids='labelIds'"),
            (dict(seg_map_suffix='_trainIds.png'), "says trainIds, but label_ids is 'labelIds'"),
            (dict(seg_map_suffix='_gtFine_labelTrainIds.png'), 'says trainIds'),
            (dict(label_ids='ids'), "label_ids: expected one of .*got 'ids'"),
            (dict(split='test'), "split: expected one of .*got 'test'"),
            (dict(reduce_zero_label=True), 'reduce_zero_label: expected False, got True: 0 is the road'),
        ],
    )
    def test_contradictions(self, tmp_path, changes, message):
        self.write(tmp_path, 'val', 'a', np.zeros((2, 2), np.uint8))
        with pytest.raises(ValueError, match=message):
            DATASETS.build(nightcity(tmp_path, **changes))

    def test_a_suffix_that_says_nothing(self, tmp_path):
        self.write(tmp_path, 'val', 'a', np.array([[3]], np.uint8), '.png')
        dataset = DATASETS.build(nightcity(tmp_path, label_ids='trainIds', seg_map_suffix='.png'))
        assert dataset[0]['gt_seg_map'].tolist() == [[3]]

    def test_nothing_is_derived(self, tmp_path):
        for name in ('split', 'label_ids', 'img_suffix', 'seg_map_suffix'):
            settings = nightcity(tmp_path)
            del settings[name]
            with pytest.raises(TypeError, match=name):
                DATASETS.build(settings)

    @pytest.mark.parametrize(
        ('label_ids', 'suffix', 'raw'), [('labelIds', '_labelIds.png', 34), ('trainIds', '.png', 19)]
    )
    def test_an_id_of_none_names_the_file(self, tmp_path, label_ids, suffix, raw):
        """Raw ids read as training ids among them: in mmseg they would be left out in silence."""
        self.write(tmp_path, 'val', 'a', np.array([[0, raw]], np.uint8), suffix)
        dataset = DATASETS.build(nightcity(tmp_path, label_ids=label_ids, seg_map_suffix=suffix))
        with pytest.raises(
            ValueError, match=rf'val/a{suffix}: label ids \[{raw}\].*expected 0 to {raw - 1}, 255.*label_ids'
        ):
            dataset[0]

    def test_the_message_comes_out_of_a_worker(self, tmp_path):
        """As a run shows it, whose loader has processes."""
        self.write(tmp_path, 'val', 'a', np.array([[0, 99]], np.uint8))
        loader = DataLoader(DATASETS.build(nightcity(tmp_path)), num_workers=1, collate_fn=pseudo_collate)
        with pytest.raises(ValueError, match=r'val/a_labelIds\.png: label ids \[99\]'):
            next(iter(loader))


class TestCheckedAnnotations:
    def load(self, path: Path, **options):
        transform = TRANSFORMS.build(dict(type='LoadCheckedAnnotations', num_classes=3, **options))
        results = dict(seg_map_path=str(path), seg_fields=[], label_map=None, reduce_zero_label=False)
        return transform, results

    def test_loads(self, tmp_path):
        Image.fromarray(np.array([[0, 2, 255]], np.uint8)).save(tmp_path / 'a.png')
        transform, results = self.load(tmp_path / 'a.png')
        loaded = transform(results)
        assert loaded['gt_seg_map'].tolist() == [[0, 2, 255]]
        assert loaded['gt_seg_map'].dtype == np.uint8
        assert loaded['seg_fields'] == ['gt_seg_map']
        assert 'num_classes=3, ignore_index=255)' in repr(transform)

    @pytest.mark.parametrize(
        ('pixels', 'message'),
        [
            (np.array([[0, 3]], np.uint8), r'a\.png: label ids \[3\] do not belong; expected 0 to 2, 255'),
            (np.array([[0, 256]], np.uint16), r'a\.png: label ids \[256\]'),
            (np.zeros((2, 2, 3), np.uint8), r'a\.png: .*painted label map'),
        ],
    )
    def test_refuses(self, tmp_path, pixels, message):
        Image.fromarray(pixels).save(tmp_path / 'a.png')
        transform, results = self.load(tmp_path / 'a.png')
        with pytest.raises(ValueError, match=message):
            transform(results)

    def test_contradicting_zero_label(self, tmp_path):
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / 'a.png')
        transform, results = self.load(tmp_path / 'a.png', reduce_zero_label=True)
        with pytest.raises(ValueError, match='reduce_zero_label is True in the pipeline and False'):
            transform(results)


class TestClasses:
    def test_coco_object(self, tmp_path):
        write_tree('coco_object', tmp_path)
        metainfo = DATASETS.build(load('coco_object', tmp_path).test_dataloader.dataset).metainfo
        assert metainfo['classes'] == ('background', *COCOStuffDataset.METAINFO['classes'][:80])
        # VOC's colour map: an index's bits dealt to red, green, blue, highest first
        assert [metainfo['palette'][i] for i in (0, 1, 2, 4, 8, 80)] == [
            [0, 0, 0], [128, 0, 0], [0, 128, 0], [0, 0, 128], [64, 0, 0], [32, 64, 0],
        ]  # fmt: skip
        assert len({tuple(colour) for colour in metainfo['palette']}) == 81

    def test_voc20(self, tmp_path):
        write_tree('voc12_20', tmp_path)
        dataset = DATASETS.build(load('voc12_20', tmp_path).test_dataloader.dataset)
        assert dataset.metainfo['classes'] == PascalVOCDataset.METAINFO['classes'][1:]
        assert dataset.metainfo['palette'] == PascalVOCDataset.METAINFO['palette'][1:]
        assert dataset.reduce_zero_label
        assert len(PascalVOCDataset.METAINFO['classes']) == 21  # mmseg's own is as it was


class TestMissingFiles:
    """Said on building by our own data set classes; of mmseg's class (scenes) before a run, in the same words."""

    OWN = ('nightcity', 'nightcity_fine', 'coco_object', 'voc12_20', 'scenes')

    def build(self, name: str, root: Path):
        config = load(name, root)
        if name == 'scenes':
            return check_test_set(config)
        return DATASETS.build(config.test_dataloader.dataset)

    def test_the_check_before_a_run_says_the_same(self, tmp_path):
        write_tree('nightcity_fine', tmp_path)
        list(pairs('nightcity_fine', tmp_path))[-1][1].unlink()
        said = []
        for ask in (self.build, lambda name, root: check_test_set(load(name, root))):
            with pytest.raises(FileNotFoundError, match='1 of 2 images have no label file') as caught:
                ask('nightcity_fine', tmp_path)
            said.append(str(caught.value))
        assert said[0] == said[1]

    @pytest.mark.parametrize('name', OWN)
    def test_folders(self, name, tmp_path):
        with pytest.raises(FileNotFoundError, match='is missing: expected the folder of images') as caught:
            self.build(name, tmp_path / 'nowhere')
        split = LAYOUTS[name].splits[-1]
        for folder in (split.images, split.labels):
            assert str(tmp_path / 'nowhere' / folder) in str(caught.value)

    @pytest.mark.parametrize('name', OWN)
    def test_labels(self, name, tmp_path):
        write_tree(name, tmp_path, images=3)
        first, second, _ = (labels for _, labels in list(pairs(name, tmp_path))[-3:])
        second.unlink()
        first.unlink()
        with pytest.raises(FileNotFoundError) as caught:
            self.build(name, tmp_path)
        message = str(caught.value)
        assert '2 of' in message
        assert f'{first} first' in message
        assert f"seg_map_suffix='{LAYOUTS[name].label_suffix}'" in message

    @pytest.mark.parametrize('name', sorted({*OWN} - {'voc12_20'}))
    def test_no_images_of_the_suffix(self, name, tmp_path):
        write_tree(name, tmp_path)
        for image, _ in pairs(name, tmp_path):
            image.rename(image.with_suffix('.bmp'))
        with pytest.raises(FileNotFoundError, match=r"has no image that ends in .* it has 2 files in '\.bmp'"):
            self.build(name, tmp_path)

    def test_an_empty_folder(self, tmp_path):
        """Of mmseg's class: on its own it evaluates nothing, without a word."""
        write_tree('scenes', tmp_path)
        shutil.rmtree(tmp_path / 'images/val')
        (tmp_path / 'images/val').mkdir()
        with pytest.raises(FileNotFoundError, match=r'has no image that ends in .*the folder is empty'):
            self.build('scenes', tmp_path)

    def test_listed_images(self, tmp_path):
        write_tree('voc12_20', tmp_path)
        image = list(pairs('voc12_20', tmp_path))[-1][0]
        image.unlink()
        with pytest.raises(FileNotFoundError, match=f'1 of 2 listed images are missing in .*{image} first'):
            self.build('voc12_20', tmp_path)
        (tmp_path / 'ImageSets/Segmentation/val.txt').unlink()
        with pytest.raises(FileNotFoundError, match=r'val\.txt is missing: expected the list of image names'):
            self.build('voc12_20', tmp_path)

    def test_a_label_of_another_suffix_is_proposed(self, tmp_path):
        write_tree('nightcity_fine', tmp_path)
        for _, labels in pairs('nightcity_fine', tmp_path):
            labels.rename(labels.with_name(labels.name.replace('_trainIds', '_gt')))
        with pytest.raises(
            FileNotFoundError, match=r"2 of 2 images have no label file.*set seg_map_suffix to '_gt\.png'"
        ):
            self.build('nightcity_fine', tmp_path)

    def suggested(self, root: Path, images: list[str], labels: list[str]) -> str:
        """What is said to a set whose labels should end in '_trainIds.png'."""
        for folder, names in (('val/img', images), ('val/lbl', labels)):
            (root / folder).mkdir(parents=True)
            for name in names:
                Image.fromarray(np.zeros((2, 2), np.uint8)).save(root / folder / name)
        with pytest.raises(FileNotFoundError) as caught:
            self.build('nightcity_fine', root)
        return str(caught.value).splitlines()[0].rpartition('; ')[2]

    def test_a_suffix_of_few_is_not_proposed(self, tmp_path):
        """One of three has a file of its own."""
        said = self.suggested(tmp_path, ['a.png', 'b.png', 'c.png'], ['a_gt.png', 'x_gt.png', 'y_gt.png'])
        assert said == "it has 3 files in '.png'"

    def test_a_suffix_that_most_have_already_is_not_proposed(self, tmp_path):
        names = ['a_trainIds.png', 'b_trainIds.png']
        assert 'set seg_map_suffix' not in self.suggested(tmp_path, ['a.png', 'b.png', 'c.png'], names)

    def test_names_that_go_on_are_not_meant(self, tmp_path):
        """img_10 is another image than img_1, and its label does not say how that of img_1 ends."""
        images = ['img_1.png', 'img_2.png', 'img_3.png']
        said = self.suggested(tmp_path, images, ['img_10.png', 'img_20.png', 'img_30.png'])
        assert said == "it has 3 files in '.png'"

    def test_several_suffixes_are_proposed(self, tmp_path):
        """Also where the first image is among the few that have none."""
        labels = [f'{name}{suffix}' for name in 'bc' for suffix in ('_gt.png', '_color.png')]
        said = self.suggested(tmp_path, ['a.png', 'b.png', 'c.png'], labels)
        assert said.startswith("of their names there are 2 in '_color.png' and 2 in '_gt.png'")
        assert said.endswith("set seg_map_suffix to '_color.png' or '_gt.png'")

    def test_images_without_labels_at_all(self, tmp_path):
        """A test set without labels can be predicted."""
        write_tree('nightcity_fine', tmp_path)
        settings = load('nightcity_fine', tmp_path).test_dataloader.dataset
        settings.data_prefix = dict(img_path='val/img')
        settings.pipeline = []
        assert len(DATASETS.build(settings)) == 2
