# GroupViT on PASCAL VOC 2012 without background.
_base_ = '../_base_/zero_shot/voc20.py'
model = dict(type='GroupViTSegmentor')
