# For tools/limits.py: the settings of known.py beside the paper's update.
_base_ = './known.py'
runs = dict(
    _delete_=True,
    streets=_base_.street_crops,
    animals=_base_.animal_crops,
    paper=dict(type='G4SegRefiner', cross_weight=3.0, self_weight=0.3, min_area=0.002, passes_per_batch=16),
)
