# G4Seg with an animal prior of your own training (docs/priors.md), which knows objects better than their classes.
_base_ = './g4seg_street.py'
refiner = dict(
    known_classes=[  # that its training pictures show, of VOC's 21
        'background', 'bicycle', 'bird', 'boat', 'bottle', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
        'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'tvmonitor',
    ],
    prior='work_dirs/prior_animals_doubts/prior',
    image_size=128,
    background_index=0,
    likelihood_draws=2,
    likelihood_bound=0.4,
)
