# One change at a time: the paper's update (Eq. 8-9) and the likelihood update, on the same masks.
_base_ = './chains.py'
likelihood = _base_.g4seg
paper = dict(likelihood, update=dict(type='CorrespondenceUpdate'))
cross_alone = dict(_base_.injection, self_weight=0.0)
joint = dict(paper, update=dict(paper['update'], joint=True))
runs = dict(
    _delete_=True,
    paper=paper,
    paper_cf=dict(refiner=paper, grid={'update.confidence_range': [(0.1, 0.7), (0.0, 1.0)]}),
    paper_beta=dict(refiner=paper, grid={'update.beta': [0.5, 0.9]}),
    paper_timestep=dict(
        refiner=dict(paper, update=dict(paper['update'], reconstruction=dict(type='OneStep'))),
        grid={'update.reconstruction.timestep': [100, 200, 300, 500, 600, 700]},
    ),
    paper_not_injected=dict(paper, injection=[]),
    paper_cross_alone=dict(paper, injection=cross_alone),
    paper_weights=dict(refiner=paper, grid={'injection.cross_weight': [1.0, 6.0]}),
    paper_rule=dict(joint, injection=dict(_base_.injection, type='DenseDiffusionInjector')),
    paper_features=dict(
        refiner=joint, grid={'update.features': [dict(type='DenoiserFeatures', timestep=t) for t in (20, 300)]}
    ),
    paper_joint=joint,
    paper_soft=dict(joint, update=dict(joint['update'], temperature=0.05)),
    paper_guided=dict(joint, update=dict(joint['update'], upsampling='guided')),
    likelihood=likelihood,
    likelihood_windows=dict(refiner=likelihood, grid={'update.smoothing': [3, (9, 21)]}),
    likelihood_sharpness=dict(refiner=likelihood, grid={'update.sharpness': [10.0, 40.0]}),
    likelihood_uncertain=dict(refiner=likelihood, grid={'update.uncertain_below': [0.4, 0.8]}),
    likelihood_timesteps=dict(refiner=likelihood, grid={'update.timesteps': [(200, 400, 600), (400,)]}),
    likelihood_draws=dict(likelihood, update=dict(_base_.likelihood_update, draws=3)),
    likelihood_guided=dict(likelihood, update=dict(_base_.likelihood_update, upsampling='guided')),
    likelihood_candidates=dict(refiner=likelihood, grid={'update.candidate_threshold': [0.0, 0.2]}),
    likelihood_no_self_bias=dict(likelihood, injection=cross_alone),
)
