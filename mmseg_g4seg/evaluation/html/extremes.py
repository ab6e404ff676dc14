"""Which images a page shows: those that changed most, chosen from a stream in bounded memory, or from all records."""

from bisect import insort
from collections.abc import Iterable, Sequence
from typing import TypeVar

from .pictures import Measured, Picture

MEASURED = TypeVar('MEASURED', bound=Measured)

PICTURES = 6
"""Of the images that gained most, and as many of those that lost most, where nothing else is asked for."""


class Extremes:
    """Of a stream of images the pictures of those that gained most, and of those that lost most."""

    def __init__(self, count: int) -> None:
        """Args:
            count: pictures of each kind, at most.

        Raises:
            ValueError: if it is below 0.
        """
        if count < 0:
            raise ValueError(f'pictures: expected 0 or more, got {count}')
        self.count = count
        self.best: list[Picture] = []
        self.worst: list[Picture] = []

    @property
    def pictures(self) -> list[Picture]:
        """The best, then the worst, the largest change first."""
        return [*self.best, *self.worst]

    def wants(self, record: Measured) -> bool:
        """Whether an image's picture would be kept: one that is not need not be drawn."""
        before, after = record.before_after
        if not (after > before or after < before):  # nothing changed, or nothing is labelled
            return False
        kept = self.best if after > before else self.worst
        last = kept[self.count - 1 : self.count]
        return self.count > 0 and (not last or _order(after - before, record.name) < _order(last[0].gain, last[0].name))

    def add(self, pictures: Iterable[Picture]) -> None:
        """Takes pictures; those that changed less may go for them."""
        for picture in pictures:
            kept = self.best if picture.gain > 0 else self.worst
            # the sampler of several processes deals some images twice, to make their shares equal
            if picture in kept:
                continue
            insort(kept, picture, key=lambda p: _order(p.gain, p.name))
            del kept[self.count :]


def extreme_records(records: Sequence[MEASURED], count: int) -> list[MEASURED]:
    """Of a run that is over, the records whose pictures an `Extremes` would have kept, in its order."""
    changes = [(after - before, record) for record in records for before, after in [record.before_after]]
    ranked = sorted(changes, key=lambda change: _order(change[0], change[1].name))
    best = [record for gain, record in ranked if gain > 0][:count]
    return best + [record for gain, record in ranked if gain < 0][:count]


def _order(gain: float, name: str) -> tuple[float, str]:
    # the name decides between equal changes: several processes keep the pictures that one would
    return -abs(gain), name
