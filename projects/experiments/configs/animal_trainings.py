# two_priors.py with another second prior for the animals, trained on doubts with rivals (NOTEBOOK.md), and with class
# proportions following what either prior finds, as on the streets.
_base_ = './two_priors.py'
rivals = dict(_base_.animals_second, prior='work_dirs/prior_animals_rivals/prior')
with_proportions = [
    dict(r, update=dict(r['update'], proportions=True)) for r in (_base_.animals_first, _base_.animals_second, rivals)
]
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    animals_rivals=dict(type='SequentialRefiner', refiners=[_base_.animals_first, rivals, _base_.crf]),
    animals_proportions=dict(type='SequentialRefiner', refiners=with_proportions[:2]),
    rivals_proportions=dict(type='SequentialRefiner', refiners=[with_proportions[0], with_proportions[2]]),
)
