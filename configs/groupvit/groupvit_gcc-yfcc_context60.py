# GroupViT on PASCAL-Context.
_base_ = '../_base_/zero_shot/context60.py'
model = dict(type='GroupViTSegmentor', background_score=0.35)
