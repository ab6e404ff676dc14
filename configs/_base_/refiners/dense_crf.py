# Dense CRF alone, with DeepLab's potentials; preset='irn' or 'clip_es' for others.
refiner = dict(type='DenseCRFRefiner', preset='deeplab')
