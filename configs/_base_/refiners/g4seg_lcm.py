# G4Seg with a latent consistency model (SD 1.5 distilled to few steps); the rest as in g4seg_sd21.py.
_base_ = './g4seg_sd21.py'
refiner = dict(prior=dict(source='SimianLuo/LCM_Dreamshaper_v7'))
