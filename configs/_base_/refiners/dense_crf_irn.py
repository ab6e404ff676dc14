# Dense CRF alone, with IRN's potentials, as for seeds of class activation maps.
refiner = dict(type='DenseCRFRefiner', preset='irn')
