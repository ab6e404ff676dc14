# CascadePSP alone, on its authors' weights: a local file; or weights=None,
# download=True to fetch their release.
refiner = dict(type='CascadePSPRefiner', weights='checkpoints/cascade_psp/model', fast=False, max_side=900)
