"""What passes between the parts of the package: predictions, and lists of classes.

Shapes: C classes of the data set, H W image size.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from torch import Tensor

ClassName = str | Sequence[str]
"""A class is called by one name, or by several synonyms."""

Key = int | str
"""Names an image: with the seed it fixes the noise, whatever the batch, device or order."""

IGNORE_INDEX = 255
"""What pixels without a label are called, where a data set does not say."""


@dataclass(frozen=True)
class Prediction:
    """Soft and hard segmentation of one image.

    Attributes:
        probs: (C, H, W) float32 in [0, 1].
        label_map: (H, W) int64 class indices, decided by the coarse model's own rule; values
            outside [0, C) mark pixels without a label.
    """

    probs: Tensor
    label_map: Tensor


def synonyms(name: ClassName) -> tuple[str, ...]:
    """Cleans one class's names.

    Raises:
        TypeError: if it is no text.
        ValueError: if there is no name, or one is empty.
    """
    names = (name,) if isinstance(name, str) else tuple(name) if isinstance(name, Iterable) else (name,)
    if not all(isinstance(word, str) for word in names):
        raise TypeError(f'class name: expected text (or a sequence of synonyms), got {name!r}')
    cleaned = tuple(' '.join(n.split()) for n in names)
    if not cleaned or not all(cleaned):
        raise ValueError(f'class name: expected non-empty text (or a sequence of synonyms), got {name!r}')
    return cleaned


BACKGROUND_NAMES = ('background', 'bg', 'back ground')
"""What data sets call the class that is none of the others, as `_plain` writes it; mmseg says `background`, COCO's and
torchvision's lists `__background__`, some `Background`."""


class ClassList(Sequence[ClassName]):
    """The classes of a data set: their names, and what else a refiner needs to know about them.

    A host fills it from metainfo, a class file or a config, and every refiner reads it. So no refiner has its own
    option about the background. As a sequence it contains the C names.

    Attributes:
        background: index of the class that stands for no object, and has no region in a layout; None if there is none.
        threshold: probability that a foreground class must reach, else a pixel is background; for coarse models that
            decide so. None decides by argmax.
        palette: RGB colours in 0 to 255, at least C (a file may have one more for unlabelled pixels), or None.
        known: names of the classes that a prior was trained on; None for all, as with a prior that reads any word.
        whole: the list that this one is a `subset` of, or None.
        indices: indices of these classes in `whole`, or None.
    """

    def __init__(
        self,
        names: Sequence[ClassName],
        *,
        background: int | str | Literal['auto'] | None = 'auto',
        threshold: float | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        known: Sequence[ClassName] | None = None,
    ) -> None:
        """Args:
            names: C names; a class may have several synonyms.
            background: index or name of that class. `auto` finds the class called background, in any usual spelling.
                None (or the name `none`) for no background.
            threshold: see the attributes.
            palette: likewise.
            known: likewise.

        Raises:
            TypeError: if `names` is a single string, a set or a dict, or a name is no string.
            ValueError: if a name is empty, or the options do not fit the names.
        """
        # a set has another order each time, and what a dict of names and indices means is in its values
        if isinstance(names, str | bytes | set | frozenset | Mapping):
            kind = 'text' if isinstance(names, str) else type(names).__name__
            raise TypeError(f'classes: expected a list of names, got the {kind} {names!r}')
        # tuples, so that a list of classes can be a key: prompts and colours are found once for each
        self.names: tuple[ClassName, ...] = tuple(
            tuple(name) if isinstance(name, Iterable) and not isinstance(name, str) else name for name in names
        )
        for name in (*self.names, *(known or ())):
            synonyms(name)
        self.background = self._find(background)
        if threshold is not None and self.background is None:
            raise ValueError(f'threshold: expected a background class that it is of, among {self.labels}, found none')
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f'threshold: expected a probability in [0, 1], got {threshold}')
        if palette is not None and len(palette) < len(self.names):
            raise ValueError(f'palette: expected {len(self.names)} colours, one a class, got {len(palette)}')
        if isinstance(known, str) or (known is not None and not known):
            raise ValueError(f'known: expected a list of names, or None, got {known!r}')
        for colour in () if palette is None else palette:
            # 0.5 of a palette in [0, 1] would be 0, and every colour black
            if len(colour) != 3 or not all(0 <= int(value) == value <= 255 for value in colour):
                raise ValueError(
                    f'palette: expected colours of three values, whole numbers in 0 to 255, got {list(colour)}'
                )
        self.threshold = threshold
        self.palette = None if palette is None else [tuple(int(v) for v in c) for c in palette]
        self.known: tuple[ClassName, ...] | None = None if known is None else tuple(known)
        self.whole: ClassList | None = None
        self.indices: tuple[int, ...] | None = None

    @classmethod
    def of(cls, classes: 'Sequence[ClassName] | ClassList') -> 'ClassList':
        """The same list, or one of plain names."""
        return classes if isinstance(classes, ClassList) else cls(classes)

    @overload
    def __getitem__(self, index: int) -> ClassName: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ClassName]: ...

    def __getitem__(self, index: int | slice) -> ClassName | Sequence[ClassName]:
        return self.names[index]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[ClassName]:
        return iter(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassList) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.names, self.background))

    def __repr__(self) -> str:
        return f'ClassList({list(self.labels)}, background={self.background}, threshold={self.threshold})'

    @property
    def labels(self) -> list[str]:
        """What tables call the classes: the first of each one's synonyms."""
        return [synonyms(name)[0] for name in self.names]

    @property
    def ignore_index(self) -> int:
        """What unlabelled pixels are written as: 255, or the last of 16 bits where there are more classes."""
        return IGNORE_INDEX if len(self) <= IGNORE_INDEX else 65535

    def knows(self, index: int) -> bool:
        """Whether a prior was trained on a class, by any of its names."""
        if self.known is None:
            return True
        called = synonyms(self.names[index])
        return any(word in called for entry in self.known for word in synonyms(entry))

    @property
    def any_known(self) -> bool:
        """Whether a prior was trained on any class of the data set, in the image or not."""
        whole = self.whole or self
        return any(map(whole.knows, range(len(whole))))

    def number(self, index: int) -> int:
        """What a class is in the whole list, of which this one may be a subset."""
        return index if self.indices is None else self.indices[index]

    def subset(self, indices: Sequence[int]) -> 'ClassList':
        """The classes that an image may have, as a list of their own: 20 of 150 take a seventh of the memory.

        Args:
            indices: of the classes to keep, different; the background's among them.

        Returns:
            A list in that order, which knows what its classes are in this one; this one itself where all are kept.
        """
        if list(indices) == list(range(len(self))):
            return self
        own = ClassList(
            [self.names[c] for c in indices],
            background=None if self.background is None else list(indices).index(self.background),
            threshold=self.threshold,
            palette=self.palette and [self.palette[c] for c in indices],
            known=self.known,
        )
        own.whole, own.indices = self.whole or self, tuple(map(self.number, indices))
        return own

    def with_options(self, options: Mapping[str, Any]) -> 'ClassList':
        """The same classes with other options, as a refiner's config gives them under `classes`.

        Args:
            options: arguments of the constructor; `names` stand in place of the data set's.

        Raises:
            ValueError: if there are other than C names, or an option is not known.
        """
        # background by index: new names must not move it
        own = dict(
            names=self.names,
            background=self.background,
            threshold=self.threshold,
            palette=self.palette,
            known=self.known,
        )
        unknown = sorted(set(options) - set(own))
        if unknown:
            raise ValueError(f'classes: expected some of {sorted(own)}, got {unknown[0]!r}')
        changed = ClassList(**{**own, **options})
        if len(changed) != len(self):
            raise ValueError(f'names: expected {len(self)}, one a class, got {len(changed)}')
        return changed

    def _find(self, background: int | str | None) -> int | None:
        if background is None or background == 'none':
            return None
        if background == 'auto':
            # `__background__` taken for a thing would be prompted by that name, and refined into objects
            plain = ([_plain(word) for word in synonyms(name)] for name in self.names)
            return next((i for i, words in enumerate(plain) if any(w in BACKGROUND_NAMES for w in words)), None)
        if isinstance(background, str):
            found = [i for i, name in enumerate(self.names) if background in synonyms(name)]
            if not found:
                raise ValueError(f'background: expected one of {self.labels}, got {background!r}')
            return found[0]
        if not 0 <= background < len(self.names):
            raise ValueError(f'background: expected an index below {len(self.names)}, got {background}')
        return int(background)


def _plain(word: str) -> str:
    """A name as spellings of it are compared."""
    return ' '.join(word.lower().replace('_', ' ').replace('-', ' ').split())
