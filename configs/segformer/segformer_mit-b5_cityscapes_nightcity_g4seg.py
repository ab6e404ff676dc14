# SegFormer-B5, trained on Cityscapes, tested on NightCity: G4Seg on Stable Diffusion 2.1.
_base_ = ['./segformer_mit-b5_cityscapes_nightcity.py', '../_base_/refiners/g4seg_sd21.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
