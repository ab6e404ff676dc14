# The first of two_priors.py alone, with priors of 600 steps from the embedded one (NOTEBOOK.md, "Short runs"), and
# class proportions on the animals, too.
_base_ = './two_priors.py'
street_short = dict(_base_.streets_first, prior='work_dirs/prior_street_short/prior')
animal_short = dict(
    _base_.animals_first,
    prior='work_dirs/prior_animals_short/prior',
    update=dict(_base_.animals_first['update'], proportions=True),
)
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    streets_crf=dict(type='SequentialRefiner', refiners=[street_short, _base_.crf]),
    animals_crf=dict(type='SequentialRefiner', refiners=[animal_short, _base_.crf]),
)
