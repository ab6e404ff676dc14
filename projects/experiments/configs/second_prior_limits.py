# For tools/limits.py: the second priors as two_priors.py asks them, beside the paper's update with them.
_base_ = './two_priors.py'
runs = dict(
    _delete_=True,
    streets=_base_.streets_second,
    animals=_base_.animals_second,
    paper=dict(type='G4SegRefiner', cross_weight=3.0, self_weight=0.3, min_area=0.002, passes_per_batch=16),
)
