# G4Seg with the embedded prior: no download, runs on a CPU. Trained on the demo's scenes alone.
refiner = dict(
    type='G4SegRefiner',
    prior='tiny',
    image_size=128,
    timestep=400,
    cross_weight=3.0,  # as the prior was trained
    self_weight=0.3,
    features=dict(type='denoiser'),
    update='likelihood',
    confidence_range=(0.2, 0.8),
    likelihood_sharpness=30.0,
    likelihood_proportions=True,
    likelihood_smoothing=3,
    min_area=0.002,
    passes_per_batch=16,
    joint=True,
)
