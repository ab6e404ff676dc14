# G4Seg with Stable Diffusion 2.1, with the paper's beta for the seeds of weakly supervised methods.
_base_ = './g4seg_sd21.py'
refiner = dict(update=dict(beta=0.9))
