"""Tensor maths: torch alone, no model, no file, no host."""

from .matching import match_features
from .posterior import mix_foreground_probs

__all__ = ['match_features', 'mix_foreground_probs']
