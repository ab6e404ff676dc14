"""CLIP-ES: seeds from CLIP, of the classes that an image is said to show."""

from .source import CLIPESSource

__all__ = ['CLIPESSource']
