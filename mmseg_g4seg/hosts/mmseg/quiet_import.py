"""Imports mmseg without what it and mmcv say of optional parts that are missing; who needs one gets an error there."""

import sys
import warnings
from contextlib import redirect_stdout
from typing import TextIO, cast

MISSING_DATASETS = 'Could not import OneDL'
"""Printed twice at every start by onedl-mmsegmentation, which means it for the debug log."""
MISSING_OPERATORS = 'Fail to import ``MultiScaleDeformableAttention``'
"""A warning of mmcv without compiled operators; a head that needs them raises an error with the same words."""


class _WithoutLine:
    """A stream that leaves out one line, as `print` writes it: the text, then its end."""

    def __init__(self, stream: TextIO, line: str) -> None:
        self._stream, self._line, self._ends = stream, line, False

    def write(self, text: str) -> int:
        is_end = self._ends and text == '\n'
        self._ends = text == self._line
        return len(text) if self._ends or is_end else self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


with redirect_stdout(cast(TextIO, _WithoutLine(sys.stdout, MISSING_DATASETS))), warnings.catch_warnings():
    warnings.filterwarnings('ignore', message=MISSING_OPERATORS, category=UserWarning)
    import mmseg.datasets
    import mmseg.models  # noqa: F401
