"""Runs that are watched and disturbed from outside.

python runs.py TASK ADDRESS WORKERS      refines a folder on a cluster; TASK is a pickled FolderTask
"""

import pickle
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.hosts.ray_data.folder import refine_folder_on_cluster
from tests.hosts.folder.conftest import make_task
from tests.hosts.folder.timeless import timeless
from tests.hosts.ray_data.stubs import StubRefiner


def wait_for(condition: Callable[[], Any], seconds: float = 600) -> Any:
    """What a condition gives at last; long enough for a busy machine."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.02)
    return found


def stub(**options: Any) -> dict[str, Any]:
    return dict(type=StubRefiner.__name__, **options)


@dataclass
class WatchedRun:
    """A folder whose refiner notes what it does, and may be held.

    Attributes:
        task: with a `StubRefiner`.
    """

    task: FolderTask

    @classmethod
    def make(cls, root: Path, *, count: int, **options: Any) -> 'WatchedRun':
        (root / 'notes').mkdir()
        return cls(make_task(root, count=count, refiner=stub(folder=str(root / 'notes'), **options)))

    @property
    def notes(self) -> Path:
        return self.task.out.with_name('notes')

    def attempts(self, name: str) -> list[int]:
        """Processes that began an image, once for each attempt."""
        return [int(path.name.split('.')[-2]) for path in self.notes.glob(f'{name}.*')]

    def release(self) -> None:
        (self.notes / 'go').touch()

    def outcome(self, report: dict[str, Any]) -> dict[str, Any]:
        """Bytes of the results, and the records less their seconds."""
        files = {path.name: path.read_bytes() for path in self.task.out.glob('*.png')}
        return {**files, 'records': [timeless(image) for image in report['images']]}

    def undisturbed(self, *without: str) -> dict[str, Any]:
        """The same of one process, less some images."""
        expected = WatchedRun(replace(self.task, refiner=stub(), out=self.task.out.with_name('undisturbed')))
        outcome = expected.outcome(refine_folder(expected.task))
        records = [record for record in outcome['records'] if record['name'] not in without]
        return {**{name: file for name, file in outcome.items() if Path(name).stem not in without}, 'records': records}

    def start(self, **options: Any) -> Callable[[], dict[str, Any]]:
        """Refines on the cluster in a thread; returns what waits for the report."""
        reports: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: reports.append(refine_folder_on_cluster(self.task, **options)))
        thread.start()

        def wait() -> dict[str, Any]:
            thread.join()
            return reports[0]

        return wait


if __name__ == '__main__':
    refine_folder_on_cluster(
        pickle.loads(Path(sys.argv[1]).read_bytes()), address=sys.argv[2], workers=int(sys.argv[3]), batch_size=1
    )
