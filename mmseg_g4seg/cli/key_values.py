"""Options of a part on a command line: `KEY=VALUE`, the value in Python's notation or a word."""

import argparse
import ast
from typing import Any


def key_value(text: str) -> tuple[str, Any]:
    """Reads one option; what is no Python literal is a word. Raises argparse's error unless there is a sign."""
    name, sign, value = text.partition('=')
    if not sign or not name:
        raise argparse.ArgumentTypeError(f'expected KEY=VALUE, got {text!r}')
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):  # a word
        return name, value
