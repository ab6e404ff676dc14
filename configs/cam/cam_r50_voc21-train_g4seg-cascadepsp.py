# CAM's seeds, then G4Seg, then CascadePSP.
_base_ = ['./cam_r50_voc21-train.py', '../_base_/refiners/g4seg_sd21_seeds_cascade_psp.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
