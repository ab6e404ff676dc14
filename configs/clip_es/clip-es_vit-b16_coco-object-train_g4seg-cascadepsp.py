# CLIP-ES's seeds of COCO-Object, then G4Seg, then CascadePSP.
_base_ = ['./clip-es_vit-b16_coco-object-train.py', '../_base_/refiners/g4seg_sd21_seeds_cascade_psp.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
