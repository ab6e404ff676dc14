"""Rows of text as a table: CSV, Markdown, or lines with columns side by side."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """The content of a CSV file; the first row is the header."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator='\n').writerows(rows)
    return buffer.getvalue()


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; the first row is the header."""
    header, *body = ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join([header, '|' + '---|' * len(rows[0]), *body]) + '\n'


def framed(rows: Sequence[Sequence[str]]) -> str:
    """A table with a frame, a line below its header, and lines between its columns."""
    header, *body = [f'| {line} |' for line in aligned(rows, ' | ')]
    rule = '+' + '+'.join('-' * (width + 2) for width in _widths(rows)) + '+'
    return '\n'.join([rule, header, rule, *body, rule])


def aligned(rows: Sequence[Sequence[str]], separator: str) -> list[str]:
    """Lines with columns side by side, the first flush left, the others right."""
    widths, lines = _widths(rows), []
    for row in rows:
        padding = [' ' * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [space + cell if i else cell + space for i, (space, cell) in enumerate(zip(padding, row, strict=True))]
        lines.append(separator.join(cells))
    return lines


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(*rows, strict=True)]


def _width(text: str) -> int:
    """Columns of a terminal: a Chinese class name takes two a character, and would push its row out of line."""
    return sum(1 + (unicodedata.east_asian_width(character) in 'WF') for character in text)
