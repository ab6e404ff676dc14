"""Figures of a page, each looked up by its place in `metrics.json`, so that none can differ from it."""

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from .charts import signed


class Figures:
    """Gives a page its figures, each once."""

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self.metrics = metrics
        self._shown: set[tuple[str | int, ...]] = set()

    def __call__(self, *place: str | int, sign: bool = False, digits: int = 2) -> Markup:
        """A figure as a `data` element, whose value is not rounded.

        Raises:
            ValueError: if the page has it already.
        """
        if place in self._shown:
            raise ValueError(f'{place}: the page shows this figure already')
        self._shown.add(place)
        value = self.value(*place)
        return Markup('<data value="{}" data-figure="{}">{}</data>').format(
            '' if value is None else repr(value), json.dumps(place, ensure_ascii=False), as_text(value, sign, digits)
        )

    def again(self, *place: str | int, sign: bool = False, digits: int = 2) -> str:
        """The same as plain text, for what repeats it."""
        return as_text(self.value(*place), sign, digits)

    def value(self, *place: str | int) -> Any:
        """What `metrics.json` has at a place."""
        value: Any = self.metrics
        for key in place:
            value = value[key]
        return value


def as_text(value: float | None, sign: bool = False, digits: int = 2) -> str:
    """As a reader sees it; a dash where there is none."""
    if value is None:
        return '\N{EN DASH}'
    if isinstance(value, int):
        return f'{value:,}'
    return signed(value, digits) if sign else f'{value:.{digits}f}'
