# GroupViT on PASCAL VOC 2012.
_base_ = '../_base_/zero_shot/voc21.py'
model = dict(type='GroupViTSegmentor')
