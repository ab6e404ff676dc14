# G4Seg by the prior of streets, from the package mmseg-g4seg-priors (the folder priors/ of a clone).
likelihood = dict(
    type='LikelihoodUpdate',
    uncertain_below=0.6,
    timesteps=(300, 400, 500),
    crops=2,  # four overlapping crops, two of them mirrored
    smoothing=dict(type='Superpixels'),  # one decision per region of like colour
    candidate_threshold=0.05,
)
refiner = dict(
    type='G4SegRefiner',
    prior='street',
    classes=dict(known=[  # that its training frames show, of Cityscapes' 19
        'road', 'sidewalk', 'building', 'fence', 'pole', 'traffic sign', 'vegetation', 'sky', 'person', 'car',
        'bicycle',
    ]),
    image_size=(128, 160),
    injection=dict(type='MaskInjector', cross_weight=3.0, self_weight=0.3),  # as the prior was trained
    update=dict(likelihood, sharpness=40.0, proportions=True),  # class proportions follow what the prior finds
    min_area=0.002,
    passes_per_batch=16,
)
