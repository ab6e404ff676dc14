# The priors of doubts.py asked in four overlapping crops, two of them mirrored, in place of the whole image.
_base_ = './doubts.py'
whole = dict(_base_.g4seg, likelihood_timesteps=(300, 400, 500))
crops = dict(whole, likelihood_crops=2)
# for the animals: two draws, and a bound on what the prior may say
animal_crops = dict(crops, likelihood_draws=2, likelihood_bound=0.4)
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    whole=whole,
    crops_crf=dict(type='SequentialRefiner', refiners=[crops, _base_.crf]),
    animals_crf=dict(type='SequentialRefiner', refiners=[animal_crops, _base_.crf]),
    animals_seed=dict(animal_crops, seed=1),
)
