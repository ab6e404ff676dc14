# SCLIP on PASCAL-Context without background.
_base_ = '../_base_/zero_shot/context59.py'
model = dict(type='ClipSegmentor', method='sclip')
