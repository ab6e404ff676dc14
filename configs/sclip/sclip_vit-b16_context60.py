# SCLIP on PASCAL-Context.
_base_ = '../_base_/zero_shot/context60.py'
model = dict(type='ClipSegmentor', method='sclip', logit_scale=50.0, background_score=0.1)
