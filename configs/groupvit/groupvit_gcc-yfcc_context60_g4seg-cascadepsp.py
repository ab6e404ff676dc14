# GroupViT on PASCAL-Context: G4Seg, then CascadePSP.
_base_ = ['./groupvit_gcc-yfcc_context60.py', '../_base_/refiners/g4seg_sd21_cascade_psp.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
