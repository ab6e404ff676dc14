"""mmseg trains on what `g4seg generate` wrote."""

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_g4seg.ops.palettes import voc_palette
from tests.conftest import ROOT

CONFIG = ROOT / 'configs/_base_/datasets/generated.py'
NAMES = ('background', 'hot air balloon', 'fish')


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES) + '\n')
    for name in ('images', 'labels'):
        (tmp_path / name).mkdir()
    for i in range(3):
        Image.fromarray(np.full((16, 24, 3), 80 * i, np.uint8)).save(tmp_path / f'images/{i:06d}.png')
        labels = np.full((16, 24), i, np.uint8)
        labels[:4] = 255
        Image.fromarray(labels).save(tmp_path / f'labels/{i:06d}.png')
    return tmp_path


def build(folder, **options):
    return DATASETS.build(
        {**Config.fromfile(CONFIG).train_dataloader.dataset, 'data_root': str(folder), **options},
    )


def test_classes_and_pairs(folder):
    dataset = build(folder, pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')])
    assert dataset.metainfo['classes'] == NAMES
    assert dataset.metainfo['palette'] == voc_palette(3).tolist()
    assert len(dataset) == 3
    for i, item in enumerate(dataset):
        assert (item['img'] == 80 * i).all()
        assert (item['gt_seg_map'][4:] == i).all()
        assert (item['gt_seg_map'][:4] == 255).all()
    assert build(folder, metainfo=dict(palette=[[0, 0, 0]] * 3)).metainfo['palette'] == [[0, 0, 0]] * 3


def test_the_shipped_pipeline_gives_training_samples(folder):
    sample = build(folder)[0]
    height, width = sample['inputs'].shape[1:]  # a random scale of 512 by 2,048, then a crop
    assert 512 / 2 <= min(height, width) <= max(height, width) <= 512
    assert sample['inputs'].shape[1:] == sample['data_samples'].gt_sem_seg.shape
    assert set(sample['data_samples'].gt_sem_seg.data.unique().tolist()) <= {0, 255}


def test_an_unfinished_folder(folder):
    (folder / 'labels/000001.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'000001\.png'):
        build(folder)
    (folder / 'classes.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'classes\.txt is missing: expected the folder of a run'):
        build(folder)


def test_the_demos_model_trains_on_it_and_is_validated_on_scenes(folder):
    scenes, generated = (
        Config.fromfile(ROOT / f'projects/demo/configs/segformer-tiny_{name}-128x128.py')
        for name in ('scenes', 'generated')
    )
    differing = {key for key in {*scenes, *generated} if scenes.get(key) != generated.get(key)}
    assert differing == {'train_dataloader'}
    assert generated.train_dataloader.dataset.type == 'GeneratedPairs'
    assert generated.train_dataloader.dataset.pipeline == scenes.train_dataloader.dataset.pipeline
    assert generated.train_dataloader.batch_size == scenes.train_dataloader.batch_size
