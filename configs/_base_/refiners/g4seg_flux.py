# G4Seg with FLUX.1 [dev]; every other parameter as in g4seg_sd21.py. These timesteps have as much noise for their
# image as SD 2.1's 400, and 100 to 600.
_base_ = './g4seg_sd21.py'
refiner = dict(
    prior='black-forest-labs/FLUX.1-dev',
    dtype='bfloat16',
    timestep=538,
    likelihood_timesteps=(256, 364, 454, 538, 618, 696),
)
