# Cityscapes, 19 classes:
#   data/cityscapes/leftImg8bit/{train,val}/CITY/NAME_leftImg8bit.png
#   data/cityscapes/gtFine/{train,val}/CITY/NAME_gtFine_labelTrainIds.png
# mmseg's tools/dataset_converters/cityscapes.py makes the label files (the release has _labelIds.png):
# 0 to 18, 255 ignored.
_base_ = 'mmseg::_base_/datasets/cityscapes.py'
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
