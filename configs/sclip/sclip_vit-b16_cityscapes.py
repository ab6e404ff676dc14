# SCLIP on Cityscapes.
_base_ = '../_base_/zero_shot/cityscapes.py'
model = dict(type='ClipSegmentor', method='sclip', image_scale=(2048, 560))
