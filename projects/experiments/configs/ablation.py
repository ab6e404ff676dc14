# One change at a time: the paper's update (Eq. 8-9) and the likelihood update, on the same masks.
_base_ = './chains.py'
likelihood = _base_.g4seg
paper = dict(type='G4SegRefiner', cross_weight=3.0, self_weight=0.3, min_area=0.002, passes_per_batch=16)
runs = dict(
    _delete_=True,
    paper=paper,
    paper_cf=dict(refiner=paper, grid=dict(confidence_range=[(0.1, 0.7), (0.0, 1.0)])),
    paper_beta=dict(refiner=paper, grid=dict(beta=[0.5, 0.9])),
    paper_timestep=dict(refiner=paper, grid=dict(timestep=[100, 200, 300, 500, 600, 700])),
    paper_not_injected=dict(paper, cross_weight=0.0, self_weight=0.0),
    paper_cross_alone=dict(paper, self_weight=0.0),
    paper_weights=dict(refiner=paper, grid=dict(cross_weight=[1.0, 6.0])),
    paper_rule=dict(paper, injection_rule='dense_diffusion', joint=True),
    paper_features=dict(
        refiner=dict(paper, joint=True), grid=dict(features=[dict(type='denoiser', timestep=t) for t in (20, 300)])
    ),
    paper_joint=dict(paper, joint=True),
    paper_residual=dict(refiner=dict(paper, mixing='residual', joint=True), grid=dict(beta=[0.2, 0.8])),
    paper_soft=dict(paper, joint=True, match_temperature=0.05),
    paper_near=dict(paper, joint=True, match_radius=0.2),
    paper_mutual=dict(paper, joint=True, match_mutual=True),
    paper_draws=dict(paper, joint=True, correspondence_draws=4),
    paper_guided=dict(paper, joint=True, upsampling='guided'),
    likelihood=likelihood,
    likelihood_windows=dict(refiner=likelihood, grid=dict(likelihood_smoothing=[3, (9, 21)])),
    likelihood_sharpness=dict(refiner=likelihood, grid=dict(likelihood_sharpness=[10.0, 40.0])),
    likelihood_cf=dict(refiner=likelihood, grid=dict(confidence_range=[(0.2, 0.4), (0.2, 0.8)])),
    likelihood_timesteps=dict(refiner=likelihood, grid=dict(likelihood_timesteps=[(200, 400, 600), (400,)])),
    likelihood_draws=dict(likelihood, likelihood_draws=3),
    likelihood_guided=dict(likelihood, upsampling='guided'),
    likelihood_accept=dict(likelihood, accept=True),
    likelihood_candidates=dict(refiner=likelihood, grid=dict(candidate_threshold=[0.0, 0.2])),
    likelihood_no_self_bias=dict(likelihood, self_weight=0.0),
    likelihood_twice=dict(likelihood, iterations=2),
)
