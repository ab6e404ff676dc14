# CLIP-ES's seeds of VOC12's training images, the classes of each from its label.
_base_ = '../_base_/zero_shot/voc21.py'
model = dict(
    type='CLIPESSource',
    class_names=None,  # the data set's: the method has words of its own for them
    image_classes='label',  # as with every weakly supervised method
    alpha=1.0,
    box_threshold=0.4,
)
test_dataloader = dict(dataset=dict(ann_file='ImageSets/Segmentation/train.txt'))
val_dataloader = test_dataloader
