# G4Seg with the embedded prior, then dense CRF; the table shows both stages.
_base_ = './g4seg_tiny.py'
refiner = dict(
    _delete_=True,
    type='SequentialRefiner',
    refiners=[_base_.refiner, dict(type='DenseCRFRefiner', preset='deeplab')],
)
