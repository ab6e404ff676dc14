"""What a run over a folder has done, kept beside its results so that it can go on after a kill.

Results and records appear whole or not at all; a result counts once its record is there, too. While a
run is under way its state lies in `OUT/.refine_masks`; at the end it becomes `OUT/report.json`.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.storage import AnyPath, existing, read_all, remove_tree

STATE, REPORT = '.refine_masks', 'report.json'


class FileJob(Protocol):
    """What a run does one after the other."""

    @property
    def name(self) -> str:
        """Of its own in the run."""

    @property
    def inputs(self) -> Sequence[AnyPath]:
        """Files that it is made of, whether they are there or not."""

    @property
    def results(self) -> Sequence[AnyPath]:
        """Files that are written for it."""


AnyJob = TypeVar('AnyJob', bound=FileJob)


@dataclass(frozen=True)
class RunState:
    """Where a run stands. All of it is in files, so that every process of a run may have a copy.

    Attributes:
        out: folder of the results.
        settings: what the results follow from; a run goes on only with the same.
    """

    out: AnyPath
    settings: dict[str, Any]

    @property
    def scratch(self) -> AnyPath:
        return self.out / STATE

    def begin(self, results: list[AnyPath], *, overwrite: bool = False) -> None:
        """Opens the folder, once, before any share of the work starts.

        Args:
            results: files that the run will write.
            overwrite: forget what an earlier run did.

        Raises:
            FileExistsError: if the folder holds results of other settings, or of unknown ones.
        """
        if overwrite:
            self._forget()
            for path in results:
                path.unlink(missing_ok=True)
        known = self._known_settings()
        if known not in (None, self.settings) and not (self._finished() or self._files('records')):
            # a run whose options were refused at its first file, or to which every file was an error
            self._forget()
            known = None
        if known is None:
            there = sorted(path.name for path in existing(results))
            if there:
                raise FileExistsError(
                    f'{self.out} holds {len(there)} files ({there[0]} ...) that this tool did not write; '
                    'choose another folder, or overwrite them with --overwrite'
                )
        elif known != self.settings:
            changed = sorted(k for k in {*known, *self.settings} if known.get(k) != self.settings.get(k))
            raise FileExistsError(
                f'{self.out} holds results of other settings ({", ".join(changed)}); choose another folder, or '
                'start anew with --overwrite'
            )
        for folder in ('records', 'errors'):
            (self.scratch / folder).mkdir(parents=True, exist_ok=True)
        atomic_write(self.scratch / 'settings.json', _dump(self.settings))

    def remaining(self, jobs: Sequence[AnyJob]) -> list[AnyJob]:
        """Those of the jobs that lack a result, or its record, or whose result is older than what it is made of."""
        finished = self._finished()
        there = existing([*(path for job in jobs for path in job.results), *(self._record(job.name) for job in jobs)])
        return [
            job
            for job in jobs
            if not there.issuperset(job.results)
            or not (job.name in finished or self._record(job.name) in there)
            or _is_outdated(job)
        ]

    def save(self, job: FileJob, contents: Sequence[bytes], record: dict[str, Any]) -> None:
        """Writes the results of one job, in their order, and its record."""
        # the record first: a result without one could not be told from another tool's file
        atomic_write(self._record(job.name), _dump({'name': job.name, **record}))
        # from the scratch folder: a kill must not leave a half file among the results
        for path, content in zip(job.results, contents, strict=True):
            atomic_write(path, content, scratch=self.scratch)
        self._error(job.name).unlink(missing_ok=True)

    def fail(self, job: FileJob, path: AnyPath | str, reason: str) -> None:
        """Notes that a job could not be done, and the file that is at fault."""
        atomic_write(self._error(job.name), _dump({'name': job.name, 'path': str(path), 'error': reason}))

    def count(self) -> int:
        """How many images have been dealt with since `begin`, or in a run that was cut off before."""
        return sum(len(self._files(kind)) for kind in ('records', 'errors'))

    def finish(self, names: list[str], summary: dict[str, Any]) -> dict[str, Any]:
        """Writes the report and returns it; raises RuntimeError if a name has neither a record nor an error."""
        records = {**self._finished(), **self._read('records')}  # newer ones win
        errors = self._read('errors')
        if lost := [name for name in names if name not in records and name not in errors]:
            raise RuntimeError(f'{len(lost)} of {len(names)} are not done ({lost[0]} ...); the same command goes on')
        report = {
            'settings': self.settings,
            **summary,
            'images': [records[name] for name in names if name in records and name not in errors],
            'errors': [errors[name] for name in names if name in errors],
        }
        atomic_write(self.out / REPORT, _dump(report), scratch=self.scratch)
        return report

    def close(self) -> None:
        """Removes what only a run under way needs."""
        remove_tree(self.scratch)

    def _forget(self) -> None:
        # the report first: a kill must not leave it to vouch for what is gone
        (self.out / REPORT).unlink(missing_ok=True)
        remove_tree(self.scratch)

    def _finished(self) -> dict[str, dict[str, Any]]:
        """Records of an earlier run that came to its end."""
        report = self.out / REPORT
        if not report.exists():
            return {}
        return {record['name']: record for record in json.loads(report.read_text())['images']}

    def _known_settings(self) -> dict[str, Any] | None:
        if (self.scratch / 'settings.json').exists():
            return json.loads((self.scratch / 'settings.json').read_text())
        if not (self.out / REPORT).exists():
            return None
        try:
            return json.loads((self.out / REPORT).read_text())['settings']
        except (ValueError, KeyError, TypeError) as error:
            raise FileExistsError(
                f'{self.out / REPORT} is not of this tool; choose another folder, or replace it with --overwrite'
            ) from error

    def _record(self, name: str) -> AnyPath:
        return self.scratch / 'records' / _file_name(name)

    def _error(self, name: str) -> AnyPath:
        return self.scratch / 'errors' / _file_name(name)

    def _files(self, kind: str) -> list[AnyPath]:
        folder = self.scratch / kind
        # an object store has no empty folder
        return [path for path in folder.iterdir() if path.suffix == '.json'] if folder.is_dir() else []

    def _read(self, kind: str) -> dict[str, dict[str, Any]]:
        entries = [json.loads(content) for content in read_all(sorted(self._files(kind), key=str))]
        return {entry['name']: entry for entry in entries}


def _is_outdated(job: FileJob) -> bool:
    """Whether a local file was written after the result that is made of it: a mask that was drawn better since."""
    made, given = (
        [path.stat().st_mtime_ns for path in paths if isinstance(path, Path) and path.exists()]
        for paths in (job.results, job.inputs)
    )
    # not one of a clock that is fast: a run that was killed would begin again each time
    return any(min(made) < written <= time.time_ns() for written in given) if made else False


def _file_name(name: str) -> str:
    """Of an image's record: short, however long the image's name is."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:24] + '.json'


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + '\n'
