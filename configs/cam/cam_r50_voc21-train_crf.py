# CAM's seeds, then dense CRF with IRN's potentials.
_base_ = ['./cam_r50_voc21-train.py', '../_base_/refiners/dense_crf.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=dict(type='DenseCRFRefiner', preset='irn'),
)
