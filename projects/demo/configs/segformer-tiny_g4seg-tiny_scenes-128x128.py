_base_ = ['./segformer-tiny_scenes-128x128.py', '../../../configs/_base_/refiners/g4seg_tiny.py']
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
test_evaluator = dict(type='RefinementMetric')
