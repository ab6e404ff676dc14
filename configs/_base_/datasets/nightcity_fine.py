# NightCity-fine, the corrected labels of Wei et al. (ICCV 2023), with Cityscapes' 19 classes; as released:
#   data/nightcity-fine/{train,val}/img/NAME.png
#   data/nightcity-fine/{train,val}/lbl/NAME_trainIds.png
# Label files: 0 to 18, 255 ignored. Suffixes differ between copies: set img_suffix, seg_map_suffix and label_ids.
dataset_type = 'NightCityDataset'
data_root = 'data/nightcity-fine'
# mmseg's crop on Cityscapes, so that its models' settings fit; the whole image here
crop_size = (512, 1024)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadCheckedAnnotations', num_classes=19),
    dict(type='RandomResize', scale=(1024, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 512), keep_ratio=True),
    # after Resize: the ground truth keeps its size
    dict(type='LoadCheckedAnnotations', num_classes=19),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadCheckedAnnotations', num_classes=19)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='train',
        label_ids='trainIds',
        img_suffix='.png',
        seg_map_suffix='_trainIds.png',
        data_prefix=dict(img_path='train/img', seg_map_path='train/lbl'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        split='val',
        label_ids='trainIds',
        img_suffix='.png',
        seg_map_suffix='_trainIds.png',
        data_prefix=dict(img_path='val/img', seg_map_path='val/lbl'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
