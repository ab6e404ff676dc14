# Real photographs with a real network's scores; ../shared/data beside the project (docs/results.md).
data = '../shared/data'
animals = ['cat', 'cow', 'dog', 'horse', 'person', 'sheep']
sets = dict(
    voc_weak=dict(
        images=f'{data}/voc_animals/images/val',
        scores=f'{data}/voc_animals/coarse/espnetv2_s0.5/val',
        labels=f'{data}/voc_animals/labels/val',
        classes=f'{data}/voc_animals/classes.txt',
        mean_classes=animals,
    ),
    voc_strong=dict(
        images=f'{data}/voc_animals/images/val',
        scores=f'{data}/voc_animals/coarse/espnetv2_s2.0/val',
        labels=f'{data}/voc_animals/labels/val',
        classes=f'{data}/voc_animals/classes.txt',
        mean_classes=animals,
    ),
    camvid_day=dict(
        images=f'{data}/camvid/images/day',
        scores=f'{data}/camvid/coarse/espnetv2_s2.0_cityscapes/day',
        labels=f'{data}/camvid/labels/day',
        classes=f'{data}/camvid/classes.txt',
    ),
    camvid_dusk=dict(
        images=f'{data}/camvid/images/dusk',
        scores=f'{data}/camvid/coarse/espnetv2_s2.0_cityscapes/dusk',
        labels=f'{data}/camvid/labels/dusk',
        classes=f'{data}/camvid/classes.txt',
    ),
)
# what every G4Seg refiner of a run takes on a set, unless the run says otherwise
animal_prior = dict(prior='work_dirs/prior_animals/prior', image_size=128, background_index=0)
street_prior = dict(prior='work_dirs/prior_street/prior', image_size=(128, 160))
per_set = dict(
    voc_weak=animal_prior, voc_strong=animal_prior, camvid_day=street_prior, camvid_dusk=street_prior
)
