# What the paper's update matches by: block and timestep of the denoiser's own features, and several joined.
_base_ = './ablation.py'
paper = dict(_base_.paper, joint=True)
blocks = [dict(type='denoiser', block=b) for b in (0, 1, 2)]  # 1 is the default
timesteps = [dict(type='denoiser', timestep=t) for t in (20, 100, 300)]  # 100 is the default
runs = dict(
    _delete_=True,
    default=paper,
    block=dict(refiner=paper, grid=dict(features=[blocks[0], blocks[2]])),
    timestep=dict(refiner=paper, grid=dict(features=[timesteps[0], timesteps[2]])),
    joined_blocks=dict(paper, features=dict(type='joined', parts=blocks)),
    joined_timesteps=dict(paper, features=dict(type='joined', parts=timesteps)),
    iterations=dict(paper, iterations=3),
)
# trained for half an hour each (docs/priors.md, "Short runs")
per_set = dict(
    voc_weak=dict(prior='work_dirs/prior_animals_short/prior'),
    voc_strong=dict(prior='work_dirs/prior_animals_short/prior'),
    camvid_day=dict(prior='work_dirs/prior_street_short/prior'),
    camvid_dusk=dict(prior='work_dirs/prior_street_short/prior'),
)
