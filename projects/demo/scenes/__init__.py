"""Procedural scenes with exact labels: the data of the embedded prior, segmentor and demo."""

from .compose import CLASSES, PALETTE, draw_scene

__all__ = ['CLASSES', 'PALETTE', 'draw_scene']
