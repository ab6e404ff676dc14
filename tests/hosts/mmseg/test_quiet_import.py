"""What is left out of a start, and nothing else."""

import io

import pytest

from mmseg_g4seg.hosts.mmseg.quiet_import import _WithoutLine


@pytest.mark.parametrize(
    ('printed', 'kept'),
    [
        (['noise'], ''),
        (['before', 'noise', 'noise', 'after'], 'before\nafter\n'),
        (['more noise', 'noise, too', '', 'x'], 'more noise\nnoise, too\n\nx\n'),
        (['noise', '', 'x'], '\nx\n'),
    ],
)
def test_one_line_is_left_out(printed, kept):
    target = io.StringIO()
    stream = _WithoutLine(target, 'noise')
    for line in printed:
        print(line, file=stream)
    assert target.getvalue() == kept
    assert stream.getvalue() == kept
