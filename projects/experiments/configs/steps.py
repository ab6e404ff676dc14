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
street_prior = dict(classes=dict(known=street_classes))
animal_prior = dict(classes=dict(known=animal_classes))
per_set = dict(voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior)
any_class = dict(known=None)
three_timesteps = dict(_base_.likelihood_update, timesteps=(300, 400, 500))
in_crops = dict(three_timesteps, crops=2)
with_proportions = dict(_base_.g4seg, update=dict(in_crops, proportions=True))
bounded = dict(_base_.g4seg, update=dict(in_crops, draws=2, bound=0.4))
runs = dict(
    _delete_=True,
    whole=dict(_base_.g4seg, classes=any_class),
    timesteps=dict(_base_.g4seg, classes=any_class, update=three_timesteps),
    crops=dict(_base_.g4seg, classes=any_class, update=in_crops),
    known=dict(_base_.g4seg, update=in_crops),
    proportions=with_proportions,
    bounded=bounded,
)
