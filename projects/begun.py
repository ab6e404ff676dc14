"""What a long run was begun with: going on with other options would mix two runs in one result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg_g4seg.io.atomic import atomic_write


def check_begun(path: Path, options: Mapping[str, Any]) -> None:
    """Writes the options of a new run, or compares them with those of the run that was begun there.

    Args:
        path: of the file that keeps them, `FOLDER/options.json` or another.
        options: by name; values that JSON holds.

    Raises:
        ValueError: if the run was begun with others.
    """
    asked = json.loads(json.dumps(options))
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(asked, indent=1) + '\n')
        return
    begun = json.loads(path.read_text())
    if changed := [name for name in asked if asked[name] != begun.get(name)]:
        differences = '; '.join(f'{name} was {begun.get(name)!r}, is {asked[name]!r}' for name in changed)
        raise ValueError(
            f'{path}: expected the options of the run that was begun here, or another folder; {differences}'
        )
