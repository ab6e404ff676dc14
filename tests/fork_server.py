"""Processes for tests: forks of the tests' own process as it was before the first test.

A new Python takes 5 to 10 seconds of a core to import torch, diffusers and mmseg; a fork has them. It has no thread, no
patch and no lock of a test. Where the import itself is what a test is about, the test starts a new Python.
"""

import atexit
import json
import logging
import multiprocessing.util
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from tests.fork_client import ask

CLIENT = Path(__file__).with_name('fork_client.py')
SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGCHLD: signal.SIG_DFL,
}
"""As Python has them when it starts."""

_FOLDER: list[tempfile.TemporaryDirectory] = []
"""Of the server that runs, with its socket and its Python."""
_SERVER: list[tuple[int, socket.socket]] = []
"""Its process, and what ends with this one, and the server with it."""


def start_server() -> None:
    """Forks the server, unless it runs; does nothing where a fork of threads and libraries is not safe."""
    if sys.platform != 'linux' or _FOLDER:
        return
    _FOLDER.append(tempfile.TemporaryDirectory(prefix='forks'))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(_address())
    listener.listen()
    python = Path(python_command())
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{CLIENT}" "{_address()}" "$@"\n')
    python.chmod(0o755)
    ours, its = socket.socketpair()
    server = os.fork()
    if server == 0:
        try:
            ours.close()
            _serve(listener, its)
        finally:  # whatever happens, it must not go on as a second pytest
            os._exit(1)
    _SERVER.append((server, ours))
    its.close()
    listener.close()


def stop_server() -> None:
    """Waits for its end, if this process has started it: what it took counts as this one's time."""
    while _SERVER:
        server, lifeline = _SERVER.pop()
        lifeline.close()
        os.waitpid(server, 0)
        _FOLDER.pop().cleanup()


def python_command() -> str:
    """A Python that has the libraries imported, for scripts that start some; this one's own where there is none."""
    return str(Path(_FOLDER[0].name) / 'python') if _FOLDER else sys.executable


class Fork:
    """A process of the server, as `subprocess.Popen` of `[sys.executable, *arguments]`."""

    def __init__(
        self, arguments: Sequence[str], *, env: Mapping[str, str], stderr: Path | str = os.devnull, group: bool = False
    ) -> None:
        """Starts it.

        Args:
            arguments: Python's own.
            env: its environment.
            stderr: file for it; standard output goes nowhere.
            group: gives it a process group of its own.
        """
        with Path(stderr).open('w') as errors, Path(os.devnull).open('r+') as none:
            streams = (none.fileno(), none.fileno(), errors.fileno())
            self._connection, self._answers = ask(_address(), arguments, streams, env, group=group)
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = int(self._answers.readline())
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()


def _address() -> str:
    return str(Path(_FOLDER[0].name) / 'socket')


def _serve(listener: socket.socket, lifeline: socket.socket) -> None:
    _SERVER.clear()
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while lifeline not in select.select([listener, lifeline], [], [])[0]:
        connection = listener.accept()[0]
        if os.fork() == 0:
            listener.close()
            lifeline.close()
            _answer(connection)
            return
        connection.close()


def _reap() -> None:
    """Takes note of those that have answered."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket) -> None:
    """Starts one process, says its id, and its exit code when it has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line, streams, *_ = socket.recv_fds(connection, 2**16, 3)
    while not line.endswith(b'\n'):
        line += connection.recv(2**16)
    process = os.fork()
    if process == 0:
        connection.close()
        _run(json.loads(line), streams)
    connection.sendall(f'{process}\n'.encode())
    ended = os.pidfd_open(process)
    if connection in select.select([ended, connection], [], [])[0]:  # who asked is gone
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with suppress(OSError):
        connection.sendall(f'{code}\n'.encode())


def _run(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    code = 1
    try:
        _become_new(request, streams)
        _execute(request['arguments'])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            threading._shutdown()
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _become_new(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Streams, signals, folder and environment as a new Python has them, and nothing of pytest's to do at the end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, 'w'), os.fdopen(2, 'w', buffering=1)
    for number, handler in SIGNALS.items():
        signal.signal(number, handler)
    if request['group']:
        os.setsid()
    os.chdir(request['folder'])
    os.environ.clear()
    os.environ.update(request['env'])
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith('_pytest')]
    logging.root.handlers.clear()
    atexit._clear()
    atexit.register(multiprocessing.util._exit_function)


def _execute(arguments: Sequence[str]) -> None:
    """`python [-u] -m MODULE ...`, `-c CODE ...` or `SCRIPT ...`."""
    first, *rest = [a for i, a in enumerate(arguments) if i or a != '-u']
    if first == '-m':
        sys.argv = rest
        sys.path.insert(0, str(Path.cwd()))
        # as pytest has loaded it, a module cannot be run as a script
        sys.modules.pop(rest[0], None)
        runpy.run_module(rest[0], run_name='__main__', alter_sys=True)
    elif first == '-c':
        sys.argv = ['-c', *rest[1:]]
        sys.modules['__main__'] = ModuleType('__main__')
        exec(rest[0], vars(sys.modules['__main__']))
    else:
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name='__main__')
