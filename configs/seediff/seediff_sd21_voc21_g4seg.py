# SeeDiff's masks, then G4Seg: both on the one prior, which is loaded once.
_base_ = ['./seediff_sd21_voc21.py', '../_base_/refiners/g4seg_sd21.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
