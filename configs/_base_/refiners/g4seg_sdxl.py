# G4Seg with Stable Diffusion XL; the rest as in g4seg_sd21.py.
_base_ = './g4seg_sd21.py'
refiner = dict(prior=dict(source='stabilityai/stable-diffusion-xl-base-1.0', variant='fp16'), image_size=1024)
