# Mask2Former-R50 on ADE20K: G4Seg, then CascadePSP.
_base_ = [
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    '../_base_/refiners/g4seg_sd21_cascade_psp.py',
]
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner, score_type='sum')
test_evaluator = dict(_delete_=True, type='RefinementMetric', iou_metrics=['mIoU'])
