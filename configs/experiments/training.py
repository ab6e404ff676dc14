# What a prior's training shows it: the first priors of two_priors.py trained on for 300 steps, with perfect masks or
# with half of them imperfect (docs/priors.md, "Imperfect masks"), asked about the whole image; and the paper's update.
_base_ = './two_priors.py'
masks = ['perfect', 'imperfect']
street_priors = dict(prior=[f'work_dirs/prior_street_{m}/prior' for m in masks])
animal_priors = dict(prior=[f'work_dirs/prior_animals_{m}/prior' for m in masks])
paper = dict(
    type='G4SegRefiner',
    cross_weight=3.0,
    self_weight=0.3,
    features=dict(type='denoiser'),
    joint=True,
    min_area=0.002,
    passes_per_batch=16,
)
runs = dict(
    _delete_=True,
    streets=dict(refiner=dict(_base_.streets_first, likelihood_crops=1), grid=street_priors),
    animals=dict(refiner=dict(_base_.animals_first, likelihood_crops=1), grid=animal_priors),
    paper_streets=dict(refiner=paper, grid=street_priors),
    paper_animals=dict(refiner=paper, grid=animal_priors),
)
