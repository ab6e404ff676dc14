# How few passes the likelihood update needs: fewer timesteps for all candidates, or candidates that race.
_base_ = ['./scenes.py', '../../../configs/_base_/refiners/g4seg_tiny.py']
everything = _base_.refiner
asked = everything['update']
runs = dict(
    everything=everything,
    two_timesteps=dict(everything, update=dict(asked, timesteps=(300, 200))),
    three_timesteps=dict(everything, update=dict(asked, timesteps=(300, 200, 100))),
    race_two=dict(everything, update=dict(asked, timesteps=dict(type='Race', timesteps=(300, 200), keep=(4,)))),
    race=dict(everything, update=dict(asked, timesteps=dict(type='Race'))),
)
