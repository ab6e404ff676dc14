"""Saved panoptic predictions: COCO's PNGs and JSON in, refined ones out, whatever model made them.

cli/refine_panoptic.py          arguments -> SavedPanoptic
hosts/coco_panoptic/saved.py    SavedPanoptic -> the images, one job each
hosts/coco_panoptic/run.py      refines, writes, measures; goes on after a kill
  refiners/panoptic.py          segments of one image as a refiner's classes
  io/panoptic_files.py          PNG and JSON
  evaluation/panoptic.py        PQ before and after
"""

from .run import refine_saved_panoptic
from .saved import SavedPanoptic

__all__ = ['SavedPanoptic', 'refine_saved_panoptic']
