# SegFormer-B1 on ADE20K: G4Seg, then dense CRF.
_base_ = ['mmseg::segformer/segformer_mit-b1_8xb2-160k_ade20k-512x512.py', '../_base_/refiners/g4seg_sd21_crf.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
test_evaluator = dict(_delete_=True, type='RefinementMetric', iou_metrics=['mIoU'])
