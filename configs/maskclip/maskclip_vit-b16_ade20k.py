# MaskCLIP on ADE20K.
_base_ = '../_base_/zero_shot/ade20k.py'
model = dict(type='ClipSegmentor', method='maskclip')
