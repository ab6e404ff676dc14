"""Sources of coarse masks: image and class names in, prediction out."""

from .base import CoarseSource

__all__ = ['CoarseSource']
