# crops.py, asking each prior only about the classes that it was trained on, and with the image's class proportions
# following what it finds.
_base_ = './crops.py'
street_classes = [
    'road', 'sidewalk', 'building', 'fence', 'pole', 'traffic sign', 'vegetation', 'sky', 'person', 'car', 'bicycle',
]
animal_classes = [
    'background', 'bicycle', 'bird', 'boat', 'bottle', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
    'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'tvmonitor',
]
street = dict(_base_.street_prior, known_classes=street_classes)
animal = dict(_base_.animal_prior, known_classes=animal_classes)
per_set = dict(voc_weak=animal, voc_strong=animal, camvid_day=street, camvid_dusk=street)
street_crops = dict(_base_.crops, likelihood_proportions=True)
animal_crops = dict(_base_.animal_crops, likelihood_proportions=True)
runs = dict(
    _delete_=True,
    crf=_base_.crf,
    streets=_base_.crops,
    streets_crf=dict(type='SequentialRefiner', refiners=[street_crops, _base_.crf]),
    streets_seed=dict(street_crops, seed=1),
    animals_crf=dict(type='SequentialRefiner', refiners=[animal_crops, _base_.crf]),
    animals_seed=dict(animal_crops, seed=1),
)
