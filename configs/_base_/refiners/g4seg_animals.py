# The same with two animal priors of your own training (docs/priors.md), which know objects better than their classes:
# what they may say is bounded, and an image's class proportions do not follow it.
_base_ = './g4seg_street.py'
g4seg = dict(
    _base_.g4seg,
    image_size=128,
    background_index=0,
    known_classes=[  # that their training pictures show, of VOC's 21
        'background', 'bicycle', 'bird', 'boat', 'bottle', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
        'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'tvmonitor',
    ],
    likelihood_draws=2,
    likelihood_bound=0.4,
)
refiner = dict(
    _delete_=True,
    type='SequentialRefiner',
    refiners=[
        dict(g4seg, prior='work_dirs/prior_animals/prior', likelihood_sharpness=40.0),
        dict(g4seg, prior='work_dirs/prior_animals_doubts/prior', likelihood_sharpness=20.0),
    ],
)
