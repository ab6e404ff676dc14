# Dark Zurich, 50 validation images with Cityscapes' 19 classes; as released (Dark_Zurich_val_anon.zip), no converter:
#   data/dark_zurich/rgb_anon/val/night/GOPR0356/NAME_rgb_anon.png
#   data/dark_zurich/gt/val/night/GOPR0356/NAME_gt_labelTrainIds.png
# Label files: 0 to 18, 255 ignored. There is no training split: take no schedule as a base, but set
# val_cfg = dict(type="ValLoop") and test_cfg = dict(type="TestLoop").
dataset_type = 'DarkZurichDataset'
data_root = 'data/dark_zurich'
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
        data_prefix=dict(img_path='rgb_anon/val', seg_map_path='gt/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
