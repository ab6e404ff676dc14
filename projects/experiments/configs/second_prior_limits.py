# For python -m projects.experiments.limits: the second priors as two_priors.py asks them, beside the paper's update
# with them.
_base_ = './two_priors.py'
runs = dict(
    _delete_=True,
    streets=_base_.streets_second,
    animals=_base_.animals_second,
    paper=dict(_base_.g4seg, update=dict(type='CorrespondenceUpdate')),
)
