"""Options of a part on a command line: `KEY=VALUE`, or a value alone, in Python's notation or a word."""

import argparse
import ast
from typing import Any


def key_value(text: str) -> tuple[str, Any]:
    """Reads one option. Raises argparse's error unless there is a sign."""
    name, sign, value = text.partition('=')
    if not sign or not name:
        raise argparse.ArgumentTypeError(f'expected KEY=VALUE, got {text!r}')
    return name, value_of(value)


def value_of(text: str) -> Any:
    """Reads a value; what is no Python literal is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
