# G4Seg with the embedded prior in two fifths of the passes: what cannot win a place is not asked there again.
_base_ = './g4seg_tiny.py'
refiner = dict(update=dict(timesteps=dict(type='Race', timesteps=(300, 200, 100), keep=(4, 3))))
