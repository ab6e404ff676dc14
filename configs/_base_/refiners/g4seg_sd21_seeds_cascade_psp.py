# G4Seg with Stable Diffusion 2.1 for seeds, then CascadePSP; the table shows both stages.
_base_ = './g4seg_sd21_seeds.py'
refiner = dict(
    _delete_=True,
    type='SequentialRefiner',
    refiners=[_base_.refiner, dict(type='CascadePSPRefiner', weights='checkpoints/cascade_psp/model')],
)
