# DeepLabV3+-R101, trained on Cityscapes (mmseg's config and checkpoint), tested on NightCity's night.
_base_ = 'mmseg::deeplabv3plus/deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024.py'
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),  # the size of the images that the model was trained on
    dict(type='LoadCheckedAnnotations', num_classes=19),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2048 * r), int(1024 * r)), keep_ratio=True)
                for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadCheckedAnnotations', num_classes=19)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _delete_=True,
        type='NightCityDataset',
        data_root='data/nightcity',
        split='val',
        label_ids='labelIds',
        img_suffix='.png',
        seg_map_suffix='_labelIds.png',
        data_prefix=dict(img_path='NightCity-images/images/val', seg_map_path='NightCity-label/label/val'),
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(_delete_=True, type='RefinementMetric', iou_metrics=['mIoU'])
