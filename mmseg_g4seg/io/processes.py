"""Processes that work beside this one."""

import os
import sys
import threading
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext


def process_context(*modules: str) -> ForkServerContext | SpawnContext:
    """How to start processes: quickly, and with no thread of torch that waits for a lock for ever.

    Args:
        modules: that the processes need. Where the system can fork, they are imported once, in a process that does
            nothing else, and of which the others are copies; torch alone takes seconds, and 200 MB each time.
    """
    if sys.platform != 'linux':  # macOS can fork, but not what its own libraries have started
        return get_context('spawn')
    context = get_context('forkserver')
    context.set_forkserver_preload(list(modules))
    return context


def end_with_parent() -> None:
    """Ends this process, from a thread, as soon as the one that started it has ended, killed or not."""
    parent = parent_process()
    assert parent is not None, 'for processes of multiprocessing alone'

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
