# DeepLabV3+-R101, trained on Cityscapes, tested on NightCity: G4Seg, then CascadePSP.
_base_ = ['./deeplabv3plus_r101_cityscapes_nightcity.py', '../_base_/refiners/g4seg_sd21_cascade_psp.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
