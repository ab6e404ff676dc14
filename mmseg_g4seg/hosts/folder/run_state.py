"""What a run over a folder has done, kept beside its results so that it can go on after a kill.

Results and records appear whole or not at all; a result counts once its record is there, too. While a
run is under way its state lies in `OUT/.refine_masks`; at the end it becomes `OUT/report.json`.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmseg_g4seg.io.atomic import atomic_write

STATE, REPORT = '.refine_masks', 'report.json'


@dataclass
class RunState:
    """Attributes:
    out: folder of the results.
    settings: what the results follow from; a run goes on only with the same.
    finished: records of an earlier run that came to its end.
    """

    out: Path
    settings: dict[str, Any]
    finished: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        return self.out / STATE

    def begin(self, results: list[Path], *, overwrite: bool = False) -> None:
        """Opens the folder, once, before any share of the work starts.

        Args:
            results: files that the run will write.
            overwrite: forget what an earlier run did.

        Raises:
            FileExistsError: if the folder holds results of other settings, or of unknown ones.
        """
        if overwrite:  # the report first: a kill must not leave it to vouch for what is gone
            (self.out / REPORT).unlink(missing_ok=True)
            shutil.rmtree(self.scratch, ignore_errors=True)
            for path in results:
                path.unlink(missing_ok=True)
        known = self._known_settings()
        if known is None:
            there = [path.name for path in results if path.exists()]
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
        self.resume()

    def resume(self) -> None:
        """Reads what an earlier run finished; every process that takes a share calls it."""
        report = self.out / REPORT
        if report.exists():
            self.finished = {record['name']: record for record in json.loads(report.read_text())['images']}

    def is_done(self, name: str, result: Path) -> bool:
        return result.is_file() and (name in self.finished or self._record(name).exists())

    def save(self, name: str, result: Path, content: bytes, record: dict[str, Any]) -> None:
        """Writes the result of one image and its record."""
        atomic_write(self._record(name), _dump({'name': name, **record}))
        atomic_write(result, content, scratch=self.scratch)
        self._error(name).unlink(missing_ok=True)

    def fail(self, name: str, path: Path, reason: str) -> None:
        """Notes that one image could not be refined, and the file that is at fault."""
        atomic_write(self._error(name), _dump({'name': name, 'path': str(path), 'error': reason}))

    def count(self) -> int:
        """How many images have been dealt with since `begin`, or in a run that was cut off before."""
        return sum(1 for kind in ('records', 'errors') for _ in (self.scratch / kind).glob('*.json'))

    def finish(self, names: list[str], summary: dict[str, Any]) -> dict[str, Any]:
        """Writes the report, removes the scratch folder and returns the report."""
        records = {**self.finished, **self._read('records')}
        errors = self._read('errors')
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
        shutil.rmtree(self.scratch, ignore_errors=True)

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

    def _record(self, name: str) -> Path:
        return self.scratch / 'records' / _file_name(name)

    def _error(self, name: str) -> Path:
        return self.scratch / 'errors' / _file_name(name)

    def _read(self, kind: str) -> dict[str, dict[str, Any]]:
        entries = [json.loads(path.read_text()) for path in sorted((self.scratch / kind).glob('*.json'))]
        return {entry['name']: entry for entry in entries}


def _file_name(name: str) -> str:
    """Of an image's record: short, however long the image's name is."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:24] + '.json'


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + '\n'
