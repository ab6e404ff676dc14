# G4Seg with Stable Diffusion 1.5; the rest as in g4seg_sd21.py.
_base_ = './g4seg_sd21.py'
refiner = dict(prior=dict(source='stable-diffusion-v1-5/stable-diffusion-v1-5'))
