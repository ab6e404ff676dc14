# two_priors.py with another second prior for the animals, trained on doubts with rivals, and with both (results.md).
_base_ = './two_priors.py'
rivals = dict(_base_.animals_second, prior='work_dirs/prior_animals_rivals/prior')
runs = dict(
    _delete_=True,
    animals_rivals=dict(type='SequentialRefiner', refiners=[_base_.animals_first, rivals]),
    animals_three=dict(type='SequentialRefiner', refiners=[_base_.animals_first, _base_.animals_second, rivals]),
)
