# The embedded prior on the demo's scenes, each asked about the classes of its label. The scenes:
# python -m projects.demo.make_scenes data/scenes val=100
_base_ = ['../_base_/refiners/g4seg_tiny.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
classes = (
    *('sky', 'brick wall', 'grass', 'sand', 'water', 'ball', 'hot air balloon', 'crate', 'tree', 'cactus'),
    *('mushroom', 'fish', 'star', 'rock'),
)
model = dict(
    type='RefinedSegmentor',
    segmentor=dict(
        type='SeeDiff',
        prior='tiny',
        num_classes=14,
        image_classes='label',
        data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),
    ),
    score_type='softmax',
    refiner=_base_.refiner,
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        metainfo=dict(classes=classes),
        img_suffix='.png',
        seg_map_suffix='.png',
        data_root='data/scenes',
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
    ),
)
test_cfg = dict(type='TestLoop')
test_evaluator = dict(type='RefinementMetric')
