# SCLIP on COCO-Object.
_base_ = '../_base_/zero_shot/coco_object.py'
model = dict(type='ClipSegmentor', method='sclip', logit_scale=50.0, background_score=0.1)
