# G4Seg with the embedded prior, then CascadePSP; the table shows both stages.
_base_ = './g4seg_tiny.py'
refiner = dict(
    _delete_=True,
    type='SequentialRefiner',
    refiners=[_base_.refiner, dict(type='CascadePSPRefiner', weights='checkpoints/cascade_psp/model')],
)
