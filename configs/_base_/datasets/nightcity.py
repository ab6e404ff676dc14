# NightCity, 2,998 training and 1,299 validation images, 1024 x 512, with Cityscapes' 19 classes; as released:
#   data/nightcity/NightCity-images/images/{train,val}/NAME.png
#   data/nightcity/NightCity-label/label/{train,val}/NAME_labelIds.png
# Label files: Cityscapes' raw ids, 0 to 33 and 255, mapped while they are read. Where label files have training ids
# (tools/dataset_converters/nightcity.py makes such), set label_ids='trainIds' and their suffix and folder.
dataset_type = 'NightCityDataset'
data_root = 'data/nightcity'
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
        label_ids='labelIds',
        img_suffix='.png',
        seg_map_suffix='_labelIds.png',
        data_prefix=dict(img_path='NightCity-images/images/train', seg_map_path='NightCity-label/label/train'),
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
        label_ids='labelIds',
        img_suffix='.png',
        seg_map_suffix='_labelIds.png',
        data_prefix=dict(img_path='NightCity-images/images/val', seg_map_path='NightCity-label/label/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
