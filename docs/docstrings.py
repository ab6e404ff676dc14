"""An extension of griffe, which reads docstrings for the reference."""

from textwrap import indent
from typing import Any

from griffe import Extension, Function


class ArgsFirst(Extension):
    """Reads docstrings that open with `Args:`, as those of constructors do.

    Where nothing but arguments follows, ruff's formatter takes the indentation off them, and griffe would see
    plain text.
    """

    def on_function(self, *, func: Function, **kwargs: Any) -> None:
        """Puts the indentation back."""
        text = func.docstring.value if func.docstring else ''
        head, _, rest = text.partition('\n')
        if func.docstring and head == 'Args:' and not rest.startswith(' '):
            func.docstring.value = f'{head}\n{indent(rest, "    ")}'
