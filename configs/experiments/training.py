# What a prior's training shows it: base priors trained on for 300 steps, with other views or imperfect masks
# (docs/priors.md, "What training shows"). The first of two_priors.py alone, and the paper's update.
_base_ = './two_priors.py'
views = ['on', 'captions', 'imperfect']
street_priors = dict(prior=[f'work_dirs/prior_street_{v}/prior' for v in views])
animal_priors = dict(prior=[f'work_dirs/prior_animals_{v}/prior' for v in views])
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
    streets=dict(refiner=_base_.streets_first, grid=street_priors),
    animals=dict(refiner=_base_.animals_first, grid=animal_priors),
    paper_streets=dict(refiner=paper, grid=street_priors),
    paper_animals=dict(refiner=paper, grid=animal_priors),
)
