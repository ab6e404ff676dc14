# GroupViT on PASCAL VOC 2012: SegRefiner.
_base_ = ['./groupvit_gcc-yfcc_voc21.py', '../_base_/refiners/seg_refiner.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
