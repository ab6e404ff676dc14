# One decision a region: errors averaged over superpixels in place of boxes; with fewer passes, too, and before a CRF.
_base_ = './race.py'
regions = dict(_base_.asked, smoothing=dict(type='Superpixels'))
race = dict(type='Race')
crf = dict(type='DenseCRFRefiner', preset='deeplab')
runs = dict(
    regions=dict(_base_.everything, update=regions),
    regions_two=dict(_base_.everything, update=dict(regions, timesteps=(300, 200))),
    regions_race=dict(_base_.everything, update=dict(regions, timesteps=race)),
    everything_crf=dict(type='SequentialRefiner', refiners=[_base_.everything, crf]),
    regions_crf=dict(type='SequentialRefiner', refiners=[dict(_base_.everything, update=regions), crf]),
)
