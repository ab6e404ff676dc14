# Class activation maps of IRN's classifier on VOC12's training images, the classes of each from its label.
_base_ = '../_base_/zero_shot/voc21.py'
model = dict(
    type='CAMSource',
    class_names=None,  # the data set's: the method has words of its own for them
    image_classes='label',  # as with every weakly supervised method
    model='resnet50',
    weights='checkpoints/irn/res50_cam.pth',
    names=[
        'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable',
        'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
    ],
    background_score=0.15,
)
test_dataloader = dict(dataset=dict(ann_file='ImageSets/Segmentation/train.txt'))
val_dataloader = test_dataloader
