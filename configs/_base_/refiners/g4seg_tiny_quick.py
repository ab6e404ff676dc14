# G4Seg with the embedded prior in two fifths of the passes: what cannot win a place is not asked there again, and each
# region of like colour is one decision.
_base_ = './g4seg_tiny.py'
refiner = dict(
    update=dict(
        timesteps=dict(type='Race', timesteps=(300, 200, 100), keep=(4, 3)),
        smoothing=dict(_delete_=True, type='Superpixels', cells=3.0, compactness=20.0),
    )
)
