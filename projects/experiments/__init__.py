"""Experiments on masks in files: sets of images, runs of refiners, paired statistics."""
