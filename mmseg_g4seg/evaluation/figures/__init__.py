"""Figures of the paper's kinds, of one image: what a refinement does, and why."""

from .kinds import FIGURES
from .subject import Options, Subject

__all__ = ['FIGURES', 'Options', 'Subject']
