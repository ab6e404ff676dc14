# known.py with two priors, one after the other: the one trained to denoise alone, asked at twice the sharpness, then
# the one that was trained on doubts.
_base_ = './known.py'
streets_first = dict(_base_.street_crops, prior='work_dirs/prior_street/prior', likelihood_sharpness=40.0)
animals_first = dict(_base_.animal_crops, prior='work_dirs/prior_animals/prior', likelihood_sharpness=40.0)
streets = [streets_first, _base_.street_crops]
animals = [animals_first, _base_.animal_crops]
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    streets_crf=dict(type='SequentialRefiner', refiners=[*streets, _base_.crf]),
    streets_seed=dict(type='SequentialRefiner', refiners=[dict(r, seed=1) for r in streets]),
    # what the second look is worth without the second prior
    streets_twice=dict(
        type='SequentialRefiner', refiners=[_base_.street_crops, dict(_base_.street_crops, seed=1)]
    ),
    animals_crf=dict(type='SequentialRefiner', refiners=[*animals, _base_.crf]),
    animals_first_crf=dict(type='SequentialRefiner', refiners=[animals_first, _base_.crf]),
    animals_seed=dict(type='SequentialRefiner', refiners=[dict(r, seed=1) for r in animals]),
)
