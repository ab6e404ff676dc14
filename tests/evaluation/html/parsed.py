"""A page as a parser sees it."""

import json
from html.parser import HTMLParser
from typing import Any

VOID = {'meta', 'img', 'input', 'br', 'hr', 'link'}


class ParsedPage(HTMLParser):
    """Attributes:
    elements: name and attributes of every element, in order.
    figures: value and text of each figure, by its place in `metrics.json`.
    text: what is read out, without styles and scripts.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[tuple[str | int, ...], tuple[float | None, str]] = {}
        self.text = ''
        self._open: list[str] = []
        self._place: tuple[str | int, ...] | None = None
        self.feed(page)
        self.close()
        assert not self._open, f'not closed: {self._open}'

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f'{tag} has an attribute twice'
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
        if tag == 'data':
            self._place = tuple(json.loads(attributes['data-figure'] or ''))
            assert self._place not in self.figures, f'{self._place} is there twice'
            value = attributes['value']
            self.figures[self._place] = (float(value) if value else None, '')

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f'</{tag}> closes nothing'
        if tag == 'data':
            self._place = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ('style', 'script'):
            return
        self.text += data
        if self._place is not None:
            value, text = self.figures[self._place]
            self.figures[self._place] = (value, text + data)

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.elements if name == tag]


def leaves(content: Any, place: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    """Values of a JSON document by their places."""
    if isinstance(content, dict | list):
        entries = content.items() if isinstance(content, dict) else enumerate(content)
        return {k: v for key, value in entries for k, v in leaves(value, (*place, key)).items()}
    return {place: content}
