# The paper's update (Eq. 8-9) with the embedded prior, one class at a time.
_base_ = './g4seg_tiny.py'
refiner = dict(
    update='correspondence', joint=False, beta=0.8, confidence_range=(0.2, 0.6), features=dict(block=0)
)
