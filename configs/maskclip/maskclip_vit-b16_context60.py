# MaskCLIP on PASCAL-Context.
_base_ = '../_base_/zero_shot/context60.py'
model = dict(type='ClipSegmentor', method='maskclip')
