"""The project's scripts as a shell runs them, but in this process, where torch, diffusers and mmseg are imported.

A process of its own needs about 15 seconds for that, so only tests that are about processes start one.
"""

import io
import os
import runpy
import subprocess
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import TextIO
from unittest import mock

from tests.conftest import ROOT


def run_script(script: str | os.PathLike, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a script, its path from the project's root; an error goes to the standard error as usual.

    Variables of the environment that the script sets are gone afterwards.
    """
    command = [str(ROOT / script), *map(str, arguments)]
    if logging := sys.modules.get('mmengine.logging'):
        # a Runner's logger is named by the config and the second: an earlier run's would take this one's lines
        logging.MMLogger._instance_dict.clear()
    out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
    with (
        mock.patch.object(sys, 'argv', command),
        mock.patch.dict(os.environ),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = _exit_code(command[0])
    return subprocess.CompletedProcess(command, code, _text_of(out), _text_of(err))


def _text_of(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def _exit_code(script: str) -> int:
    try:
        runpy.run_path(script, run_name='__main__')
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def run_command(command: list[str], *, stdout: TextIO, **options: object) -> subprocess.CompletedProcess[str]:
    """In place of `subprocess.run`, where the code under test runs [python, script, ...] with both streams into one."""
    assert options == dict(stderr=subprocess.STDOUT, check=False)
    result = run_script(*command[1:])
    stdout.write(result.stdout + result.stderr)
    return result
