# From asking about the whole image to what two_priors.py asks, one change at a time, each on top of the last: crops and
# known classes, then for the streets class proportions, for the animals a bound and two draws. This is the first prior,
# the one trained to denoise alone; steps_second.py is the other.
_base_ = './chains.py'
street_classes = [
    'road',
    'sidewalk',
    'building',
    'fence',
    'pole',
    'traffic sign',
    'vegetation',
    'sky',
    'person',
    'car',
    'bicycle',
]
animal_classes = [
    'background',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'tvmonitor',
]
street_prior = dict(known_classes=street_classes)
animal_prior = dict(known_classes=animal_classes)
per_set = dict(voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior)
three_timesteps = dict(_base_.g4seg, likelihood_timesteps=(300, 400, 500))
in_crops = dict(three_timesteps, likelihood_crops=2)
with_proportions = dict(in_crops, likelihood_proportions=True)
bounded = dict(in_crops, likelihood_draws=2, likelihood_bound=0.4)
runs = dict(
    _delete_=True,
    whole=dict(_base_.g4seg, known_classes=None),
    timesteps=dict(three_timesteps, known_classes=None),
    crops=dict(in_crops, known_classes=None),
    known=in_crops,
    proportions=with_proportions,
    bounded=bounded,
)
