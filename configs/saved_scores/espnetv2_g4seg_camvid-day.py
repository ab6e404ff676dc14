# Day frames of CamVid under a Cityscapes network's scores, refined by the prior `street`, which other drives trained.
_base_ = [
    '../_base_/datasets/camvid.py',
    '../_base_/refiners/g4seg_street.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(
    type='RefinedSegmentor',
    segmentor=dict(
        type='SavedScoresSegmentor',
        scores_dir='data/camvid/coarse/espnetv2_s2.0_cityscapes/day',
        num_classes=19,
        data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),
    ),
    score_type='softmax',
    refiner=_base_.refiner,
)
