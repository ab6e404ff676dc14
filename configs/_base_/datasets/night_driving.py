# Nighttime Driving, 50 test images with Cityscapes' 19 classes; as released (NighttimeDrivingTest.zip), no converter:
#   data/NighttimeDrivingTest/leftImg8bit/test/night/NAME_leftImg8bit.png
#   data/NighttimeDrivingTest/gtCoarse_daytime_trainvaltest/test/night/NAME_gtCoarse_labelTrainIds.png
# Label files: 0 to 18, 255 ignored. There is no training split: take no schedule as a base, but set
# val_cfg = dict(type="ValLoop") and test_cfg = dict(type="TestLoop").
dataset_type = 'NightDrivingDataset'
data_root = 'data/NighttimeDrivingTest'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1920, 1080), keep_ratio=True),
    # after Resize: the ground truth keeps its size
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=r, keep_ratio=True) for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/test/night', seg_map_path='gtCoarse_daytime_trainvaltest/test/night'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
