# The paper's update (Eq. 8-9) with the embedded prior, one class at a time.
_base_ = './g4seg_tiny.py'
refiner = dict(
    update=dict(
        _delete_=True,
        type='CorrespondenceUpdate',
        beta=0.8,
        confidence_range=(0.2, 0.6),
        features=dict(type='DenoiserFeatures', block=0),
    )
)
