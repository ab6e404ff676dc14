# DiffSegmenter on COCO-Object: G4Seg on the same prior.
_base_ = ['./diffsegmenter_sd21_coco-object.py', '../_base_/refiners/g4seg_sd21.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
