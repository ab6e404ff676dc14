# What the paper's update matches by: block and timestep of the denoiser's own features.
_base_ = './ablation.py'
paper = _base_.joint
blocks = [dict(type='DenoiserFeatures', block=b) for b in (0, 2)]  # 1 is the default
timesteps = [dict(type='DenoiserFeatures', timestep=t) for t in (20, 300)]  # 100 is the default
runs = dict(
    _delete_=True,
    default=paper,
    block=dict(refiner=paper, grid={'update.features': blocks}),
    timestep=dict(refiner=paper, grid={'update.features': timesteps}),
)
# trained for half an hour each (NOTEBOOK.md, "Short runs")
per_set = dict(
    voc_weak=dict(prior='work_dirs/prior_animals_short/prior'),
    voc_strong=dict(prior='work_dirs/prior_animals_short/prior'),
    camvid_day=dict(prior='work_dirs/prior_street_short/prior'),
    camvid_dusk=dict(prior='work_dirs/prior_street_short/prior'),
)
