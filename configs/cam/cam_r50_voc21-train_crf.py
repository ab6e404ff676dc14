# CAM's seeds, then dense CRF with IRN's potentials.
_base_ = ['./cam_r50_voc21-train.py', '../_base_/refiners/dense_crf_irn.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
