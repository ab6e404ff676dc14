# SegRefiner alone, on its authors' checkpoint.
refiner = dict(type='SegRefinerRefiner', weights='checkpoints/segrefiner_hr_latest.pth')
