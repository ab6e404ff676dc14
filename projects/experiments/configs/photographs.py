# The README's table of photographs (`make photographs DATA=folder`): the shipped refiners, dense CRF, and both.
_base_ = './sets.py'
folder = 'configs/_base_/refiners'
read = __import__('mmengine').Config.fromfile  # an import statement makes mmengine take this for another kind of config
street_refiner = read(f'{folder}/g4seg_street.py').refiner.to_dict()
animal_refiner = read(f'{folder}/g4seg_animals.py').refiner.to_dict()
crf = dict(type='DenseCRFRefiner', preset='deeplab')
# classes stand beside the refiners of a chain
street_crf = dict(type='SequentialRefiner', classes=street_refiner.pop('classes'), refiners=[street_refiner, crf])
animals_crf = dict(type='SequentialRefiner', classes=animal_refiner.pop('classes'), refiners=[animal_refiner, crf])
per_set = dict(_delete_=True)
runs = dict(
    g4seg_crf=dict(
        by_set=dict(camvid_day=street_crf, camvid_dusk=street_crf, voc_weak=animals_crf, voc_strong=animals_crf)
    ),
    crf=crf,
)
