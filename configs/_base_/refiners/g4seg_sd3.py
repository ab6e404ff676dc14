# G4Seg with Stable Diffusion 3.5 medium; the rest as in g4seg_sd21.py. The scheduler is shifted: this timestep has as
# much noise for its image as SD 2.1's 400. LikelihoodUpdate's 100 to 600 are timesteps=(103, 160, 217, 280, 350, 432).
_base_ = './g4seg_sd21.py'
refiner = dict(
    prior=dict(source='stabilityai/stable-diffusion-3.5-medium', dtype='bfloat16'),
    update=dict(reconstruction=dict(timestep=280)),
)
