# Coarse, G4Seg with one prior about the whole image, dense CRF, PAMR, and the two orders of G4Seg and CRF, on the same
# masks.
_base_ = './sets.py'
injection = dict(type='MaskInjector', cross_weight=3.0, self_weight=0.3)  # as the priors were trained
likelihood_update = dict(
    type='LikelihoodUpdate',
    uncertain_below=0.6,
    sharpness=20.0,
    smoothing=(3, 9, 21),
    candidate_threshold=0.05,
)
g4seg = dict(type='G4SegRefiner', injection=injection, update=likelihood_update, min_area=0.002, passes_per_batch=16)
crf = dict(type='DenseCRFRefiner', preset='deeplab')
runs = dict(
    crf=crf,
    pamr=dict(type='PAMRRefiner'),
    g4seg_crf=dict(type='SequentialRefiner', refiners=[g4seg, crf]),
    crf_g4seg=dict(type='SequentialRefiner', refiners=[crf, g4seg]),
)
