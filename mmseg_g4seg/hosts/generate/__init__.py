"""Writes a data set of pictures with masks from class names.

cli/generate.py           arguments -> GenerateTask
hosts/generate/run.py     one job a picture; lock, shares and records are the folder host's
coarse/generation.py      draws one picture and reads its mask
hosts/generate/summary.py manifest and table
"""
