"""Panoptic predictions are in Detectron2's form everywhere in the package; here is its name in this host."""

from mmseg_g4seg.refiners.panoptic import refine_panoptic

__all__ = ['refine_panoptic']
