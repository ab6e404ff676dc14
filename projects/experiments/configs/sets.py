# Real photographs with a real network's scores (NOTEBOOK.md), in $DATA, or data/ of the folder that commands start in.
import os

data = os.environ.get('DATA', 'data')
animals_data, camvid_data = f'{data}/voc_animals', f'{data}/camvid'
animals = dict(
    images=f'{animals_data}/images/val',
    labels=f'{animals_data}/labels/val',
    classes=f'{animals_data}/classes.txt',
    mean_classes=['cat', 'cow', 'dog', 'horse', 'person', 'sheep'],
)
camvid_scores = f'{camvid_data}/coarse/espnetv2_s2.0_cityscapes'
sets = dict(
    voc_weak=dict(animals, scores=f'{animals_data}/coarse/espnetv2_s0.5/val'),
    voc_strong=dict(animals, scores=f'{animals_data}/coarse/espnetv2_s2.0/val'),
    camvid_day=dict(
        images=f'{camvid_data}/images/day',
        scores=f'{camvid_scores}/day',
        labels=f'{camvid_data}/labels/day',
        classes=f'{camvid_data}/classes.txt',
    ),
    camvid_dusk=dict(
        images=f'{camvid_data}/images/dusk',
        scores=f'{camvid_scores}/dusk',
        labels=f'{camvid_data}/labels/dusk',
        classes=f'{camvid_data}/classes.txt',
    ),
)
# what every G4Seg refiner of a run takes on a set, unless the run says otherwise
animal_prior = dict(prior='work_dirs/prior_animals/prior', image_size=128)
street_prior = dict(prior='work_dirs/prior_street/prior', image_size=(128, 160))
per_set = dict(voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior)
