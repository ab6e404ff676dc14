# MaskCLIP on COCO-Object.
_base_ = '../_base_/zero_shot/coco_object.py'
model = dict(type='ClipSegmentor', method='maskclip')
