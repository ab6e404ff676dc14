"""A small data set and segmentor of mmseg's own kind, on disk and in configs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer

CLASSES = ('sky', 'brick wall', 'grass', 'hot air balloon', 'fish')
SIZES = ((40, 56), (32, 32), (48, 40))


@pytest.fixture(autouse=True)
def fresh_host():
    """Every test starts with mmseg's scope and no visualizer of an earlier run."""
    init_default_scope('mmseg')
    classes = [Visualizer]
    for cls in classes:
        classes += cls.__subclasses__()
        cls._instance_dict.clear()
    MessageHub._instance_dict.clear()
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def data_root(tmp_path_factory) -> Path:
    """Three images of different sizes with labels 0 to 4 (1 to 5 under `shifted`, 0 = ignored)."""
    root = tmp_path_factory.mktemp('data')
    generator = np.random.default_rng(0)
    for folder in ('images', 'labels', 'shifted'):
        (root / folder).mkdir()
    for i, (height, width) in enumerate(SIZES):
        labels = generator.integers(0, 5, (4, 4)).repeat(height // 4, 0).repeat(width // 4, 1).astype(np.uint8)
        pixels = generator.integers(0, 255, (5, 3))[labels] + generator.normal(0, 10, (*labels.shape, 3))
        labels[:2] = 255
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / 'images' / f'{i}.png')
        Image.fromarray(labels).save(root / 'labels' / f'{i}.png')
        shifted = np.where(labels == 255, 0, labels + 1).astype(np.uint8)
        Image.fromarray(shifted).save(root / 'shifted' / f'{i}.png')
    return root


def plain_config(data_root: Path, work_dir: Path, **changes) -> Config:
    """A config as a user of mmseg has one: a segmentor, a data set, a metric, and no refiner."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(48, 48), keep_ratio=True),
        dict(type='LoadAnnotations', reduce_zero_label=changes.get('reduce_zero_label', False)),
        dict(type='PackSegInputs'),
    ]
    channels = changes.get('num_classes', 5)
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_val=0,
            seg_pad_val=255,
            test_cfg=dict(size_divisor=32),
        ),
        backbone=dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            patch_sizes=[7, 3, 3, 3],
            sr_ratios=[8, 4, 2, 1],
            mlp_ratio=1,
        ),
        decode_head=dict(
            type='SegformerHead',
            in_channels=[8, 8, 8, 8],
            in_index=[0, 1, 2, 3],
            channels=8,
            num_classes=max(channels, 2),
            out_channels=channels,
            **({'threshold': 0.5} if channels == 1 else {}),
            norm_cfg=dict(type='BN'),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=channels == 1),
        ),
        test_cfg=changes.get('test_cfg', dict(mode='whole')),
    )
    classes = CLASSES if channels > 1 else ('background', 'fish')
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(data_root),
        metainfo=dict(classes=classes, palette=[[40 * i, 255 - 40 * i, 90] for i in range(len(classes))]),
        img_suffix='.png',
        seg_map_suffix='.png',
        reduce_zero_label=changes.get('reduce_zero_label', False),
        data_prefix=dict(img_path='images', seg_map_path=changes.get('labels', 'labels')),
        pipeline=pipeline,
    )
    loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset)
    return Config(
        dict(
            default_scope='mmseg',
            model=model,
            test_dataloader=loader,
            test_cfg=dict(type='TestLoop'),
            test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            test_pipeline=pipeline,
            tta_model=dict(type='SegTTAModel'),
            tta_pipeline=[
                dict(type='LoadImageFromFile'),
                dict(
                    type='TestTimeAug',
                    transforms=[
                        [dict(type='Resize', scale=(s, s), keep_ratio=True) for s in (48, 64)],
                        [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
                        [dict(type='LoadAnnotations')],
                        [dict(type='PackSegInputs')],
                    ],
                ),
            ],
            default_hooks=dict(visualization=dict(type='SegVisualizationHook')),
            visualizer=dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer'),
            work_dir=str(work_dir),
            log_level='WARNING',
        )
    )


def refined(config: Config, refiner: dict | None, **options) -> Config:
    """The config edit: the same config with the wrapper around its model."""
    config = config.copy()
    config.model = dict(type='RefinedSegmentor', segmentor=config.model, refiner=refiner, **options)
    config.test_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
    return config


@pytest.fixture(scope='session')
def refiner_config(prior_folder) -> dict:
    return dict(type='G4SegRefiner', prior=str(prior_folder), image_size=32)


@pytest.fixture(scope='session')
def checkpoint(data_root, tmp_path_factory) -> str:
    """A checkpoint of the plain model, as mmengine saves it."""
    from mmseg.registry import MODELS

    init_default_scope('mmseg')
    torch.manual_seed(7)
    model = MODELS.build(plain_config(data_root, Path()).model)
    for name, tensor in model.state_dict().items():
        if 'conv_seg' in name or 'running' in name:
            tensor.uniform_(0.1, 2.0)
    path = tmp_path_factory.mktemp('checkpoint') / 'plain.pth'
    torch.save({'state_dict': model.state_dict(), 'meta': {'dataset_meta': {'classes': CLASSES}}}, path)
    return str(path)
