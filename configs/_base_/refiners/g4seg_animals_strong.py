# The first of g4seg_animals.py's two priors alone, for a network that is right more often than the priors are.
_base_ = './g4seg_animals.py'
refiner = dict(_delete_=True, **_base_.refiner.refiners[0])
