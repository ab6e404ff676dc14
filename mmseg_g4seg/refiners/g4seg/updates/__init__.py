"""Update rules, one file each, formula first."""

from .base import ClassProbs, Update
from .correspondence import CorrespondenceUpdate
from .likelihood import LikelihoodUpdate

__all__ = ['ClassProbs', 'CorrespondenceUpdate', 'LikelihoodUpdate', 'Update']
