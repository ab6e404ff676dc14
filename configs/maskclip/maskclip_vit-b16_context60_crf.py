# MaskCLIP on PASCAL-Context: dense CRF.
_base_ = ['./maskclip_vit-b16_context60.py', '../_base_/refiners/dense_crf.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
