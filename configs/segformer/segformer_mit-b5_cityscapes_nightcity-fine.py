# SegFormer-B5, trained on Cityscapes, tested on NightCity-fine.
_base_ = './segformer_mit-b5_cityscapes_nightcity.py'
test_dataloader = dict(
    dataset=dict(
        data_root='data/nightcity-fine',
        label_ids='trainIds',
        seg_map_suffix='_trainIds.png',
        data_prefix=dict(img_path='val/img', seg_map_path='val/lbl'),
    ),
)
