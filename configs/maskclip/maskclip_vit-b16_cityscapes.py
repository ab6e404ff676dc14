# MaskCLIP on Cityscapes.
_base_ = '../_base_/zero_shot/cityscapes.py'
model = dict(type='ClipSegmentor', method='maskclip')
