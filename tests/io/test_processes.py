"""How processes are started; that they end with their parent is tests/hosts/folder/test_processes.py."""

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from mmseg_g4seg.io.processes import process_context


def process_ids() -> tuple[int, int]:
    return os.getpid(), os.getppid()


@pytest.mark.skipif(os.name != 'posix', reason='needs fork')
def test_they_are_copies_of_one_that_does_nothing_else(monkeypatch):
    monkeypatch.setattr('sys.platform', 'linux')
    with ProcessPoolExecutor(1, mp_context=process_context(__name__)) as pool:
        one, parent = pool.submit(process_ids).result()
    assert len({one, parent, os.getpid()}) == 3


def test_each_is_new_where_a_fork_is_not_safe(monkeypatch):
    monkeypatch.setattr('sys.platform', 'darwin')
    assert process_context('json').get_start_method() == 'spawn'
