# The priors of projects/train_prior/gpu.sh: one for the streets and one for the animals, each trained to denoise and to
# settle doubts at once. Asked once, and asked twice as two_priors.py asks two.
import os

_base_ = './steps.py'
folder = os.environ.get('PRIORS', 'work_dirs/gpu_priors')
side = int(os.environ.get('SIDE', 256))
width = -(-side * 5 // 64) * 16  # of five to four, a multiple of 16
# regions as large in the image as those that suit the priors of 128 pixels
update = dict(_base_.in_crops, smoothing=dict(type='Superpixels', cells=max(1.0, 3 * side / 128)))
street_prior = dict(prior=f'{folder}/street/prior', image_size=(side, width), update=dict(update, proportions=True))
animal_prior = dict(prior=f'{folder}/animals/prior', image_size=side, update=dict(update, bound=0.4))
per_set = dict(voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior)
once = dict(type='G4SegRefiner', injection=_base_.injection, min_area=0.002, passes_per_batch=64)
seldom_sure = dict(once, update=dict(sharpness=40.0))
runs = dict(
    _delete_=True,
    once=once,
    once_crf=dict(type='SequentialRefiner', refiners=[once, _base_.crf]),
    twice_crf=dict(type='SequentialRefiner', refiners=[seldom_sure, dict(once, seed=1), _base_.crf]),
)
