# DiffSegmenter's masks, then G4Seg on the same prior, as the paper has it.
_base_ = './seediff_sd21_voc21_g4seg.py'
model = dict(segmentor=dict(type='DiffSegmenter'))
