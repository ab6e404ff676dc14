# G4Seg with an animal prior of your own training: work_dirs/prior_animals/prior.
_base_ = './g4seg_street.py'
refiner = dict(prior='work_dirs/prior_animals/prior', image_size=128, background_index=0)
