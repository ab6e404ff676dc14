"""Refines a folder as `tools/refine_masks.py` does, from a pickled task.

    python light_run.py TASK WORKERS        refines; TASK is a pickled FolderTask
    python light_run.py TASK kill SEED      a child refines, is killed at twenty moments, and goes on each time
    python light_run.py TASK kill-each      a child is killed before each change of a file, and another goes on

The two last print a line of JSON.
"""

import json
import os
import pickle
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mmseg_g4seg.cli.interrupt import interruptible
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.hosts.folder.task import FolderTask
from tests.hosts.folder import slow_refiner  # noqa: F401
from tests.hosts.folder.timeless import timeless_bytes

KILLS = 20


def start(task: FolderTask, prepare: Callable[[], None] = lambda: None) -> int:
    """Refines in a child; returns its id."""
    child = os.fork()
    if child:
        return child
    prepare()
    refine_folder(task)
    os._exit(0)


def has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def was_killed(child: int) -> bool:
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kill_at_random(task: FolderTask, generator: random.Random) -> int:
    """Kills a child some time after it wrote some more results, as often as asked."""
    kills = 0
    while kills < KILLS:
        enough = len(list(task.out.glob('*.png'))) + generator.randint(0, 2)
        child = start(task)
        while len(list(task.out.glob('*.png'))) < enough and not has_ended(child):
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.015))
        os.kill(child, signal.SIGKILL)
        if was_killed(child):
            kills += 1
        else:  # it was faster: once more from the start
            shutil.rmtree(task.out)
    assert not was_killed(start(task))
    return kills


def kill_before(count: int, folder: Path) -> Callable[[], None]:
    """Has a process end itself at its `count`-th change below a folder, a file that it wrote being half there."""
    changes = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal changes
        writing = event == 'open' and str(arguments[0]).startswith(str(folder)) and arguments[2] & os.O_ACCMODE
        if writing or event in ('os.rename', 'os.mkdir', 'os.remove', 'os.rmdir'):
            changes += 1
            if changes == count:
                if event == 'os.rename':
                    os.truncate(arguments[0], os.path.getsize(arguments[0]) // 2)  # noqa: PTH202
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(watch)


def kill_at_each_change(task: FolderTask) -> list[int]:
    """Kills one run after the other, each a step later, lets it go on, and lists the steps that changed the outcome."""
    undisturbed, wrong, count = None, [], 0
    while True:
        shutil.rmtree(task.out, ignore_errors=True)
        killed = was_killed(start(task, kill_before(count, task.out)))
        if killed:
            assert not was_killed(start(task))
        entries = {path.relative_to(task.out): path for path in task.out.rglob('*')}
        found = {name: path.is_file() and timeless_bytes(path.read_bytes()) for name, path in entries.items()}
        undisturbed = undisturbed or found  # at step 0, which there is not
        if found != undisturbed:
            wrong.append(count)
        if count and not killed:
            return [count - 1, *wrong]
        count += 1


def main() -> int:
    task, mode = pickle.loads(Path(sys.argv[1]).read_bytes()), sys.argv[2]
    if mode == 'kill':
        print(json.dumps(kill_at_random(task, random.Random(int(sys.argv[3])))))
    elif mode == 'kill-each':
        print(json.dumps(kill_at_each_change(task)))
    else:
        return 1 if refine_folder(task, workers=int(mode)).get('errors') else 0
    return 0


if __name__ == '__main__':
    sys.exit(interruptible()(lambda _: main())(None))
