# Dusk frames: a network trained on another city's daylight, a prior trained on daylight alone.
_base_ = './espnetv2_g4seg_camvid-day.py'
model = dict(segmentor=dict(scores_dir='data/camvid/coarse/espnetv2_s2.0_cityscapes/dusk'))
test_dataloader = dict(dataset=dict(data_prefix=dict(img_path='images/dusk', seg_map_path='labels/dusk')))
