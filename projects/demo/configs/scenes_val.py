# Pipelines, and the held-out scenes of the demo: python -m projects.demo.make_scenes data/scenes val=100
dataset_type = 'BaseSegDataset'
metainfo = dict(
    classes=(
        'sky',
        'brick wall',
        'grass',
        'sand',
        'water',
        'ball',
        'hot air balloon',
        'crate',
        'tree',
        'cactus',
        'mushroom',
        'fish',
        'star',
        'rock',
    ),
    palette=[
        [135, 190, 235],
        [170, 80, 60],
        [90, 160, 60],
        [225, 200, 140],
        [40, 110, 170],
        [230, 60, 120],
        [250, 150, 40],
        [140, 95, 50],
        [20, 90, 45],
        [120, 200, 130],
        [200, 40, 40],
        [150, 90, 200],
        [245, 220, 50],
        [120, 120, 125],
    ],
)
data_root = 'data/scenes'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(128, 128), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(128, 128), cat_max_ratio=0.9),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(side, side), keep_ratio=True) for side in (96, 128, 160)],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        img_suffix='.png',
        seg_map_suffix='.png',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
