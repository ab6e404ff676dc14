# ADE20K, 150 classes; as released (ADEChallengeData2016.zip), no converter:
#   data/ade/ADEChallengeData2016/images/{training,validation}/ADE_{train,val}_00000001.jpg
#   data/ade/ADEChallengeData2016/annotations/{training,validation}/ADE_{train,val}_00000001.png
# Label files: 1 to 150, 0 ignored.
_base_ = 'mmseg::_base_/datasets/ade20k.py'
val_evaluator = dict(type='RefinementMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
