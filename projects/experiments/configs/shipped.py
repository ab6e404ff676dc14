# The priors that ship, asked as g4seg_street.py and g4seg_animals.py do, and with one change each: boxes in place of
# superpixels, a race in place of everything, a second look, another seed.
_base_ = './sets.py'
folder = 'configs/_base_/refiners'
read = __import__('mmengine').Config.fromfile  # an import statement makes mmengine take this for another kind of config
street_refiner = read(f'{folder}/g4seg_street.py').refiner.to_dict()
animal_refiner = read(f'{folder}/g4seg_animals.py').refiner.to_dict()
per_set = dict(
    _delete_=True,
    voc_weak=animal_refiner,
    voc_strong=animal_refiner,
    camvid_day=street_refiner,
    camvid_dusk=street_refiner,
)
boxes = dict(smoothing=(3, 9, 21))
race = dict(timesteps=dict(type='Race', timesteps=(300, 400, 500)))
runs = dict(
    shipped=dict(type='G4SegRefiner'),
    boxes=dict(type='G4SegRefiner', update=boxes),
    one_timestep=dict(type='G4SegRefiner', update=dict(timesteps=(300,))),
    race=dict(type='G4SegRefiner', update=race),
    boxes_race=dict(type='G4SegRefiner', update=dict(boxes, **race)),
    twice=dict(type='SequentialRefiner', refiners=[dict(type='G4SegRefiner'), dict(type='G4SegRefiner', seed=1)]),
    other_seed=dict(type='G4SegRefiner', seed=1),
)
