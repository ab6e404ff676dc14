# PASCAL-Context, 59 classes:
#   data/VOCdevkit/VOC2010/JPEGImages/NAME.jpg
#   data/VOCdevkit/VOC2010/SegmentationClassContext/NAME.png
#   data/VOCdevkit/VOC2010/ImageSets/SegmentationContext/{train,val}.txt
# tools/dataset_converters/pascal_context.py makes the last two. Label files: 1 to 59, 0 ignored.
_base_ = 'mmseg::_base_/datasets/pascal_context_59.py'
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
