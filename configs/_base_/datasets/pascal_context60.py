# PASCAL-Context, 59 classes and background:
#   data/VOCdevkit/VOC2010/JPEGImages/NAME.jpg
#   data/VOCdevkit/VOC2010/SegmentationClassContext/NAME.png
#   data/VOCdevkit/VOC2010/ImageSets/SegmentationContext/{train,val}.txt
# tools/dataset_converters/pascal_context.py makes the last two. Label files: 0 (background) to 59.
_base_ = 'mmseg::_base_/datasets/pascal_context.py'
# mmseg's has none
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
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
