"""Results of a run less the seconds that a clock took: all else is the same in every run."""

import re
from typing import Any

SECONDS = re.compile(
    rb'("seconds": )\{[^}]*\}|^seconds per image: .*$|<section aria-labelledby="time">[\s\S]*?</section>', re.MULTILINE
)


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """A mask's record."""
    return {key: value for key, value in record.items() if key != 'seconds'}


def timeless_bytes(content: bytes) -> bytes:
    """The content of a report or table."""
    return SECONDS.sub(rb'\1', content)
