# Two priors, one after the other. The one trained to denoise alone is
# asked at twice the sharpness, then the one that was trained on doubts.
_base_ = './steps_second.py'
streets_second = _base_.with_proportions
animals_second = _base_.bounded
streets_first = dict(
    streets_second, prior='work_dirs/prior_street/prior', update=dict(streets_second['update'], sharpness=40.0)
)
animals_first = dict(
    animals_second, prior='work_dirs/prior_animals/prior', update=dict(animals_second['update'], sharpness=40.0)
)
streets = [streets_first, streets_second]
animals = [animals_first, animals_second]
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    streets_crf=dict(type='SequentialRefiner', refiners=[*streets, _base_.crf]),
    streets_seed=dict(type='SequentialRefiner', refiners=[dict(r, seed=1) for r in streets]),
    # what the second look is worth without the second prior
    streets_twice=dict(type='SequentialRefiner', refiners=[streets_second, dict(streets_second, seed=1)]),
    animals_crf=dict(type='SequentialRefiner', refiners=[*animals, _base_.crf]),
    animals_first_crf=dict(type='SequentialRefiner', refiners=[animals_first, _base_.crf]),
    animals_seed=dict(type='SequentialRefiner', refiners=[dict(r, seed=1) for r in animals]),
)
