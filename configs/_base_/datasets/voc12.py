# PASCAL VOC 2012, 21 classes, background among them; as released (VOCtrainval_11-May-2012.tar), no converter:
#   data/VOCdevkit/VOC2012/JPEGImages/NAME.jpg
#   data/VOCdevkit/VOC2012/SegmentationClass/NAME.png
#   data/VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val}.txt
# Label files: 0 to 20, 255 ignored.
_base_ = 'mmseg::_base_/datasets/pascal_voc12.py'
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
