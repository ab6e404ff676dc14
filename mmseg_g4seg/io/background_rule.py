"""Seeds have no score for the background: the rule that gives it one, and its inverse."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

RuleName = Literal['power', 'threshold']


@dataclass(frozen=True)
class BackgroundRule:
    """The background's score, given the foreground's.

    Attributes:
        name: `power`, (1 - max)^value, or `threshold`, value everywhere.
        value: the exponent, or the threshold.
    """

    name: RuleName = 'power'
    value: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in get_args(RuleName):
            raise ValueError(f'background rule: expected one of {get_args(RuleName)}, got {self.name!r}')
        if not self.value > 0 or (self.name == 'threshold' and self.value >= 1):
            raise ValueError(
                f'background rule: expected {"an exponent above 0" if self.name == "power" else "a share in (0, 1)"}, '
                f'got {self.value}'
            )

    def background(self, best: Tensor) -> Tensor:
        """Background scores where the best foreground score is `best`, any shape."""
        if self.name == 'threshold':
            return torch.full_like(best, self.value)
        return (1 - best).clamp_min(0) ** self.value

    def foreground(self, ratio: Tensor) -> Tensor:
        """The best foreground score that stands in `ratio` to its background, in [0, 1]; any shape."""
        if self.name == 'threshold':
            return (ratio * self.value).clamp(0, 1)
        # score / (1 - score)^value = ratio has no closed form for most exponents; it grows with the score: bisect
        low, high = torch.zeros_like(ratio), torch.ones_like(ratio)
        for _ in range(40):  # beyond the digits of float32, in which scores are stored
            middle = (low + high) / 2
            above = middle > ratio * self.background(middle)
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2
