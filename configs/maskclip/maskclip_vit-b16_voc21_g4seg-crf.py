# MaskCLIP on PASCAL VOC 2012: G4Seg, then dense CRF.
_base_ = ['./maskclip_vit-b16_voc21.py', '../_base_/refiners/g4seg_sd21_crf.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
