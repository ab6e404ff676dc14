# DTP's own scores on NightCity-fine (Wei et al., ICCV 2023): its network is not in mmseg, so they are read from files,
# data/nightcity-fine/dtp_scores/NAME.npz; see the README of this folder.
_base_ = ['../_base_/datasets/nightcity_fine.py', 'mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(
    type='SavedScoresSegmentor',
    scores_dir='data/nightcity-fine/dtp_scores',
    num_classes=19,
    data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),
)
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='LoadCheckedAnnotations', num_classes=19),
    dict(type='PackSegInputs'),
]))
test_cfg = dict(type='TestLoop')
# there is nothing to train
train_dataloader, val_dataloader, val_evaluator = None, None, None
