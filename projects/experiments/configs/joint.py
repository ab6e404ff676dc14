# A prior that learned to denoise and to settle doubts at once: asked once, twice, by a race, over superpixels.
# $PRIORS has the folders street/prior and animals/prior.
import os

_base_ = './steps.py'
folder = os.environ.get('PRIORS', 'work_dirs')
street_prior = dict(prior=f'{folder}/street/prior', update=dict(proportions=True))
animal_prior = dict(prior=f'{folder}/animals/prior', update=dict(draws=2, bound=0.4))
per_set = dict(voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior)
everything = dict(_base_.g4seg, update=_base_.in_crops)
seldom_sure = dict(_base_.g4seg, update=dict(_base_.in_crops, sharpness=40.0))
race = dict(type='Race', timesteps=(300, 400, 500))
regions = dict(type='Superpixels')
raced = dict(everything, update=dict(_base_.in_crops, timesteps=race))
runs = dict(
    _delete_=True,
    everything=everything,
    seldom_sure=seldom_sure,
    twice=dict(type='SequentialRefiner', refiners=[seldom_sure, dict(everything, seed=1)]),
    race=raced,
    regions=dict(everything, update=dict(_base_.in_crops, smoothing=regions)),
    regions_race=dict(everything, update=dict(_base_.in_crops, smoothing=regions, timesteps=race)),
    race_twice=dict(
        type='SequentialRefiner',
        refiners=[dict(raced, update=dict(raced['update'], sharpness=40.0)), dict(raced, seed=1)],
    ),
)
