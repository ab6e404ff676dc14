"""A file is whole, or as it was."""

import os

import pytest

from mmseg_g4seg.io.atomic import atomic_file, atomic_write


@pytest.mark.parametrize('content', ['text ä', b'\x00\xff'])
def test_writes_text_and_bytes(tmp_path, content):
    path = tmp_path / 'file'
    atomic_write(path, content)
    assert (path.read_text() if isinstance(content, str) else path.read_bytes()) == content
    assert [p.name for p in tmp_path.iterdir()] == ['file']


def test_what_was_there_stays_if_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    atomic_write(path, 'before')

    def fail(*_):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    monkeypatch.setattr(type(path), 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        atomic_write(path, 'after')
    assert path.read_text() == 'before'


def test_an_error_in_the_block_leaves_what_was_there(tmp_path):
    path = tmp_path / 'file'
    atomic_write(path, 'before')

    def fail(file):
        file.write(b'half of')
        raise ValueError('cut off')

    with pytest.raises(ValueError, match='cut off'), atomic_file(path) as file:
        fail(file)
    assert path.read_text() == 'before'
    assert [p.name for p in tmp_path.iterdir()] == ['file']
