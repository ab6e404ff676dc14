# steps.py with the priors that were trained on doubts.
_base_ = './steps.py'
animal_prior = dict(prior='work_dirs/prior_animals_doubts/prior')
street_prior = dict(prior='work_dirs/prior_street_doubts/prior')
per_set = dict(voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior)
