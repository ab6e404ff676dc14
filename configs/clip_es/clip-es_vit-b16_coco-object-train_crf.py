# CLIP-ES's seeds of COCO-Object, then dense CRF with its authors' potentials, which are DeepLab's.
_base_ = ['./clip-es_vit-b16_coco-object-train.py', '../_base_/refiners/dense_crf.py']
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    score_type='softmax',
    refiner=_base_.refiner,
)
