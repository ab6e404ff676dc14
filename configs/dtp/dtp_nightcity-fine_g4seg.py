# DTP on NightCity-fine: G4Seg on Stable Diffusion 2.1.
_base_ = ['./dtp_nightcity-fine.py', '../_base_/refiners/g4seg_sd21.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(
    _delete_=True,
    type='RefinedSegmentor',
    segmentor=_base_.model,
    refiner=_base_.refiner,
    score_type='softmax',
)
