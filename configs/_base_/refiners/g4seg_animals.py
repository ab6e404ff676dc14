# The same with two animal priors of your own training (projects/train_prior), which know objects better than their
# classes: what they may say is bounded, and an image's class proportions do not follow it.
_base_ = './g4seg_street.py'
g4seg = dict(_base_.g4seg, image_size=128)
animals = dict(_base_.likelihood, draws=2, bound=0.4)
refiner = dict(
    _delete_=True,
    type='SequentialRefiner',
    classes=dict(known=[  # that their training pictures show, of VOC's 21
        'background', 'bicycle', 'bird', 'boat', 'bottle', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
        'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'tvmonitor',
    ]),
    refiners=[
        dict(g4seg, prior='work_dirs/prior_animals/prior', update=dict(animals, sharpness=40.0)),
        dict(g4seg, prior='work_dirs/prior_animals_doubts/prior', update=dict(animals, sharpness=20.0)),
    ],
)
