# The chain of chains.py with the priors that were trained on doubts (docs/priors.md), and the bound on what they say.
_base_ = './chains.py'
animal_prior = dict(prior='work_dirs/prior_animals_doubts/prior')
street_prior = dict(prior='work_dirs/prior_street_doubts/prior')
per_set = dict(
    voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior
)
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    g4seg_crf=dict(type='SequentialRefiner', refiners=[_base_.g4seg, _base_.crf]),
    g4seg_bounded=dict(_base_.g4seg, likelihood_bound=0.4),
)
