# The same by the prior of animals. It is surer of itself, and knows objects better than their classes: what it may say
# is bounded, and an image's class proportions do not follow it.
_base_ = './g4seg_street.py'
refiner = dict(
    prior='animals',
    classes=dict(known=[  # that its training pictures show, of VOC's 21
        'background', 'bicycle', 'bird', 'boat', 'bottle', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
        'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'tvmonitor',
    ]),
    image_size=(128, 128),
    update=dict(_base_.likelihood, _delete_=True, sharpness=20.0, bound=0.4),
)
