# Pixel-adaptive mask refinement alone; preset='sclip' for SCLIP's dilations.
refiner = dict(type='PAMRRefiner', preset='pamr')
