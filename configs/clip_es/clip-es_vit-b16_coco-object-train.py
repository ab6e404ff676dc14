# CLIP-ES's seeds of COCO-Object's training images, the classes of each from its label.
_base_ = '../_base_/zero_shot/coco_object.py'
model = dict(
    type='CLIPESSource',
    class_names=None,  # the data set's: the method has words of its own for them
    image_classes='label',  # as with every weakly supervised method
    alpha=1.0,
    box_threshold=0.7,
    # the authors' for VOC without `keyboard` and `sign`, which are things here
    background_words=[
        'ground', 'land', 'grass', 'tree', 'building', 'wall', 'sky', 'lake', 'water', 'river', 'sea', 'railway',
        'railroad', 'helmet', 'cloud', 'house', 'mountain', 'ocean', 'road', 'rock', 'street', 'valley', 'bridge',
    ],
)
test_dataloader = dict(
    dataset=dict(data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'))
)
val_dataloader = test_dataloader
