# DAAM in place of SeeDiff.
_base_ = './seediff_sd21_voc21.py'
model = dict(type='DAAM')
