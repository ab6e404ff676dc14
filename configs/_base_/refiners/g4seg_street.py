# G4Seg twice, with two street priors of your own training (docs/priors.md): the one trained to denoise alone, which is
# seldom sure, then the one that also learned to settle doubts.
g4seg = dict(
    type='G4SegRefiner',
    image_size=(128, 160),
    cross_weight=3.0,  # as the priors were trained
    self_weight=0.3,
    known_classes=[  # that their training frames show, of Cityscapes' 19
        'road', 'sidewalk', 'building', 'fence', 'pole', 'traffic sign', 'vegetation', 'sky', 'person', 'car',
        'bicycle',
    ],
    features=dict(type='denoiser'),
    joint=True,
    update='likelihood',
    confidence_range=(0.2, 0.6),
    likelihood_timesteps=(300, 400, 500),
    likelihood_crops=2,  # four overlapping crops, two of them mirrored
    likelihood_smoothing=(3, 9, 21),
    candidate_threshold=0.05,
    min_area=0.002,
    passes_per_batch=16,
)
street = dict(g4seg, likelihood_proportions=True)  # an image's class proportions follow what a prior finds
refiner = dict(
    type='SequentialRefiner',
    refiners=[
        dict(street, prior='work_dirs/prior_street/prior', likelihood_sharpness=40.0),
        dict(street, prior='work_dirs/prior_street_doubts/prior', likelihood_sharpness=20.0),
    ],
)
