# GroupViT on PASCAL-Context: SegRefiner.
_base_ = ['./groupvit_gcc-yfcc_context60.py', '../_base_/refiners/seg_refiner.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
