# SCLIP on Cityscapes: G4Seg on Stable Diffusion 2.1.
_base_ = ['./sclip_vit-b16_cityscapes.py', '../_base_/refiners/g4seg_sd21.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
