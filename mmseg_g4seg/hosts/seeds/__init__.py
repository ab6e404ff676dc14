"""Writes the seeds of images whose classes are known, in the files of weakly supervised methods.

cli/seeds.py           arguments -> SeedsTask
hosts/seeds/run.py     one job an image; lock, shares and records are the folder host's
io/image_tags.py       which classes an image shows
coarse/seeds.py        scores them
"""
