# Dense CRF alone, with DeepLab's potentials, which are CLIP-ES's too; `dense_crf_irn.py` has IRN's.
refiner = dict(type='DenseCRFRefiner', preset='deeplab')
