# The priors of doubts.py asked in four overlapping crops, two of them mirrored, in place of the whole image.
_base_ = './doubts.py'
whole = dict(_base_.g4seg, likelihood_timesteps=(300, 400, 500))
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    crops_crf=dict(type='SequentialRefiner', refiners=[dict(whole, likelihood_crops=2), _base_.crf]),
    whole=whole,
)
