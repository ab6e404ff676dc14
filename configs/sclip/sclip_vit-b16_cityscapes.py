# SCLIP on Cityscapes.
_base_ = '../_base_/zero_shot/cityscapes.py'
model = dict(method='sclip', source=dict(image_scale=(2048, 560)))
