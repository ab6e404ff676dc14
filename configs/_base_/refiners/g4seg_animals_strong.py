# For the masks of a strong network, the first of the two animal priors alone; see g4seg_animals.py.
_base_ = './g4seg_animals.py'
refiner = dict(_base_.refiner['refiners'][0], _delete_=True, classes=_base_.refiner['classes'])
