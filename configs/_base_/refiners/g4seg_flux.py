# G4Seg with FLUX.1 [dev]; the rest as in g4seg_sd21.py. This timestep has as much noise for its image as SD 2.1's 400.
# LikelihoodUpdate's 100 to 600 are timesteps=(256, 364, 454, 538, 618, 696).
_base_ = './g4seg_sd21.py'
refiner = dict(
    prior=dict(source='black-forest-labs/FLUX.1-dev', dtype='bfloat16'),
    update=dict(reconstruction=dict(timestep=538)),
)
