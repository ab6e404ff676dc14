# SCLIP on PASCAL VOC 2012.
_base_ = '../_base_/zero_shot/voc21.py'
model = dict(type='ClipSegmentor', method='sclip', logit_scale=65.0, background_score=0.1, area_threshold=0.1)
