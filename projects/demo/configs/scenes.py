# The procedural scenes of the demo: python -m projects.demo.make_scenes data/scenes train=400 val=100
_base_ = './scenes_val.py'
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=_base_.dataset_type,
        metainfo=_base_.metainfo,
        img_suffix='.png',
        seg_map_suffix='.png',
        data_root=_base_.data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        pipeline=_base_.train_pipeline,
    ),
)
