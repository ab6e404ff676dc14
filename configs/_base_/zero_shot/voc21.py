# Masks from SCLIP's words on PASCAL VOC 2012; a config adds a source's `type` and options.
# No Resize: the source resizes by itself, and the masks are those of the whole picture.
_base_ = ['../datasets/voc12.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(
    num_classes=21,
    class_names='mmseg_g4seg::_base_/classes/voc21.txt',
    data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
test_pipeline = [step for step in _base_.test_pipeline if step.type != 'Resize']
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
