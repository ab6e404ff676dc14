# G4Seg with Stable Diffusion 3.5 medium; every other parameter as in g4seg_sd21.py. The scheduler is shifted: these
# timesteps have as much noise for their image as SD 2.1's 400, and 100 to 600.
_base_ = './g4seg_sd21.py'
refiner = dict(
    prior='stabilityai/stable-diffusion-3.5-medium',
    dtype='bfloat16',
    timestep=280,
    likelihood_timesteps=(103, 160, 217, 280, 350, 432),
)
