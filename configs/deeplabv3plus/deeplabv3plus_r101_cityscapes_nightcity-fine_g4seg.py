# DeepLabV3+-R101, trained on Cityscapes, tested on NightCity-fine: G4Seg on Stable Diffusion 2.1.
_base_ = ['./deeplabv3plus_r101_cityscapes_nightcity-fine.py', '../_base_/refiners/g4seg_sd21.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
