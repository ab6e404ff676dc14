# G4Seg with the embedded prior: no download, runs on a CPU. Trained on the demo's scenes alone.
refiner = dict(
    type='G4SegRefiner',
    prior='tiny',
    image_size=128,
    injection=dict(type='MaskInjector', cross_weight=3.0, self_weight=0.3),  # as the prior was trained
    update=dict(
        type='LikelihoodUpdate', uncertain_below=0.8, sharpness=30.0, proportions=True, smoothing=3
    ),
    min_area=0.002,
    passes_per_batch=16,
)
