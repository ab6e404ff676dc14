# G4Seg with Stable Diffusion 2.1, then SAM; the table shows both stages.
_base_ = './g4seg_sd21.py'
refiner = dict(
    _delete_=True,
    type='SequentialRefiner',
    refiners=[_base_.refiner, dict(type='SAMRefiner', model='facebook/sam-vit-base')],
)
