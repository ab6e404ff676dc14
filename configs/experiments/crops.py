# The priors of doubts.py asked in four overlapping crops, two of them mirrored, in place of the whole image.
_base_ = './doubts.py'
animal_prior = dict(_base_.animal_prior, likelihood_timesteps=(300, 400, 500))
per_set = dict(
    voc_weak=animal_prior,
    voc_strong=animal_prior,
    camvid_day=_base_.street_prior,
    camvid_dusk=_base_.street_prior,
)
g4seg = dict(_base_.g4seg, likelihood_crops=2)
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    crops_crf=dict(type='SequentialRefiner', refiners=[g4seg, _base_.crf]),
    whole=_base_.g4seg,
)
