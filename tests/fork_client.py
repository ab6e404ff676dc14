"""Asks the server of `fork_server.py` for a process; as a script, a Python that starts at once.

    python -IS fork_client.py SOCKET ARGUMENTS     as `python ARGUMENTS`, with the same streams, folder and exit code

The request is a line of JSON beside the three streams; the answers are two lines, the process's id and its exit code.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO


def ask(
    address: str, arguments: Sequence[str], streams: Sequence[int], env: Mapping[str, str], *, group: bool = False
) -> tuple[socket.socket, TextIO]:
    """Starts a process, which is killed where the connection ends before it.

    Args:
        address: the server's socket.
        arguments: Python's own.
        streams: descriptors of standard input, output and error.
        env: its environment.
        group: gives it a process group of its own.

    Returns:
        The connection, and the answers in it.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = dict(arguments=list(arguments), env=dict(env), folder=os.getcwd(), group=group)  # noqa: PTH109
    line = json.dumps(request).encode() + b'\n'
    sent = socket.send_fds(connection, [line], list(streams))
    connection.sendall(line[sent:])
    return connection, connection.makefile()


def main() -> int:
    _, answers = ask(sys.argv[1], sys.argv[2:], (0, 1, 2), os.environ)
    answers.readline()
    code = int(answers.readline())
    return code if code >= 0 else 128 - code  # as a shell says that a signal ended it


if __name__ == '__main__':
    sys.exit(main())
