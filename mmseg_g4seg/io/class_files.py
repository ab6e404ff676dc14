"""Files of class names and of their colours, read as UTF-8 whatever the locale."""

import re
from contextlib import suppress
from pathlib import Path

from mmseg_g4seg.prediction import ClassList, ClassName

from .config_files import find_shipped

OTHER_LISTS = re.compile(r'[:;#\t"{}\[\]]|^__ignore__$')
"""What occurs in no name, but in lists of another kind: CVAT's `cat:250,50,83::`, YOLO's `0: cat`, JSON, CSV."""
NUMBERED = re.compile(r'(\d+)[\s,.)].*|.*,\s*(\d+)')
"""`1 cat` and `cat,1`; in a row, or it is a list of coins."""


def read_classes(
    source: str, *, background: str | None = None, palette: Path | None = None, with_synonyms: bool = False
) -> ClassList:
    """Reads class names.

    Args:
        source: a file of names, one a line, or the names themselves, with commas between.
        background: name of the class that is never refined; the one that is called so, in any usual
            spelling, when not given; `none` for none.
        palette: file of colours, `R G B` a line, 0 to 255, one a class at least; none when not given.
        with_synonyms: read a file as `read_synonyms` does; a class of one word is that word.

    Raises:
        ValueError: if names or colours do not fit, or a file is no UTF-8.
    """
    names: list[ClassName] = [name.strip() for name in _listed_names(source) if name.strip()]
    if with_synonyms and (path := _file(source)) is not None:
        names = [words if len(words) > 1 else words[0] for words in read_synonyms(str(path))]
    colours = None if palette is None else _read_colours(palette, len(names))
    return distinct_classes(ClassList(names, background=background or 'auto', palette=colours))


def read_synonyms(source: str) -> list[tuple[str, ...]]:
    """Reads the words of classes: a class a line, its synonyms with ', ' between.

    Args:
        source: a file; `mmseg_g4seg::_base_/classes/voc21.txt` for one of the package's own.

    Returns:
        One tuple of words a class.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is empty, a word has a comma in it or is there twice, or there are less than two lines;
            names the line.
    """
    path = find_shipped(source)
    if path is None:
        raise FileNotFoundError(f'class names: no such file: {source}')
    lines, seen = _read_names(path), dict[str, int]()
    for number, line in enumerate(lines, start=1):
        for word in line.strip().split(', '):
            # 'cat,kitten' would be one prompt that no picture is like, and an empty line a class without a name
            if not word.strip() or ',' in word:
                raise ValueError(f"{path}, line {number}: expected names with ', ' between, got {line!r}")
            if word.strip() in seen:
                raise ValueError(f'{path}: expected different names, got {word!r} in lines {seen[word]} and {number}')
            seen[word.strip()] = number
    if len(lines) < 2:
        raise ValueError(f'{path}: expected at least two lines, one a class, got {len(lines)}')
    return [tuple(word.strip() for word in line.strip().split(', ')) for line in lines]


def distinct_classes(classes: ClassList) -> ClassList:
    """The same classes, if masks can be told apart by them.

    Raises:
        ValueError: if there is one class alone, or two of one name.
    """
    if len(classes) < 2:
        raise ValueError(f'classes: expected at least two names, got {list(classes)}')
    if len(set(classes.labels)) < len(classes):
        raise ValueError(f'classes: expected different names, got {list(classes)}')
    return classes


def _file(source: str) -> Path | None:
    with suppress(OSError):  # names with commas may be too long for a path
        return find_shipped(source)
    return None


def _listed_names(source: str) -> list[str]:
    path = _file(source)
    if path is not None:
        return _read_names(path)
    if ',' not in source or source.endswith('.txt'):  # of a file that is missing, in a folder with a comma
        raise ValueError(f'classes: expected a file of names or a list with commas, got {source!r}')
    return source.split(',')


def _read_colours(path: Path, least: int) -> list[list[int]]:
    """RGB colours of a file, 0 to 255: one for each of `least` classes, and any more up to 256."""
    rows = [line.split() for line in _read_lines(path) if line.strip()]
    try:
        colours = [[int(value) for value in row] for row in rows]
    except ValueError as error:
        raise ValueError(f'{path}: expected lines of three numbers, R G B') from error
    fits = all(len(colour) == 3 and 0 <= min(colour) <= max(colour) <= 255 for colour in colours)
    if not fits or not 0 < len(colours) <= 256:
        raise ValueError(f'{path}: expected up to 256 lines of three numbers from 0 to 255')
    if len(colours) < least:
        raise ValueError(f'{path}: expected a colour for each of {least} classes, got {len(colours)}')
    return colours


def _read_names(path: Path) -> list[str]:
    """Lines of a file, if they are names and nothing else."""
    lines = _read_lines(path)
    for number, line in enumerate(lines, start=1):
        # LabelMe counts from the line behind `__ignore__`: read as a class, it would move all the others by one
        if OTHER_LISTS.search(line.strip()):
            raise ValueError(f'{path}, line {number}: expected the name of a class and nothing else, got {line!r}')
    named = [line.strip() for line in lines if line.strip()]
    numbers = [int(found[1] or found[2]) for line in named if (found := NUMBERED.fullmatch(line))]
    if numbers and numbers == [number + numbers[0] for number in range(len(named))]:
        raise ValueError(f'{path}: expected names of classes without their numbers, got {named[0]!r}')
    return lines


def _read_lines(path: Path) -> list[str]:
    try:
        # Windows' editors put a byte-order mark first: with it '\ufeffbackground' would be an ordinary class
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: expected text in UTF-8, got other bytes ({error})') from error
    if '\0' in text:  # UTF-16 without a mark: English names are valid UTF-8 then, a NUL after each letter
        raise ValueError(f'{path}: expected text in UTF-8, got NUL bytes, as in UTF-16')
    return text.splitlines()
