# G4Seg twice, with two street priors of your own training (projects/train_prior): the one trained to denoise alone,
# which is seldom sure, then the one that also learned to settle doubts.
likelihood = dict(
    type='LikelihoodUpdate',
    uncertain_below=0.6,
    timesteps=(300, 400, 500),
    crops=2,  # four overlapping crops, two of them mirrored
    smoothing=(3, 9, 21),
    candidate_threshold=0.05,
)
g4seg = dict(
    type='G4SegRefiner',
    image_size=(128, 160),
    injection=dict(type='MaskInjector', cross_weight=3.0, self_weight=0.3),  # as the priors were trained
    min_area=0.002,
    passes_per_batch=16,
)
street = dict(likelihood, proportions=True)  # an image's class proportions follow what a prior finds
refiner = dict(
    type='SequentialRefiner',
    classes=dict(known=[  # that their training frames show, of Cityscapes' 19
        'road', 'sidewalk', 'building', 'fence', 'pole', 'traffic sign', 'vegetation', 'sky', 'person', 'car',
        'bicycle',
    ]),
    refiners=[
        dict(g4seg, prior='work_dirs/prior_street/prior', update=dict(street, sharpness=40.0)),
        dict(g4seg, prior='work_dirs/prior_street_doubts/prior', update=dict(street, sharpness=20.0)),
    ],
)
