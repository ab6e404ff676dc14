"""What a training was begun with: going on with other options would mix two trainings in one prior."""

import json
from pathlib import Path
from typing import Any

from mmseg_g4seg.io.atomic import atomic_write


def check_begun(folder: Path, options: dict[str, Any]) -> None:
    """Writes the options of a new training to `folder/options.json`, or compares them with those of one begun there.

    Args:
        folder: of the training.
        options: by name; values that JSON holds.

    Raises:
        ValueError: if the training was begun with others.
    """
    path = folder / 'options.json'
    asked = json.loads(json.dumps(options))
    if not path.exists():
        atomic_write(path, json.dumps(asked, indent=1) + '\n')
        return
    begun = json.loads(path.read_text())
    changed = [name for name in asked if asked[name] != begun.get(name)]
    if changed:
        differences = '; '.join(f'{name} was {begun.get(name)!r}, is {asked[name]!r}' for name in changed)
        raise ValueError(
            f'{folder}: expected the options that this training was begun with, or another folder; '
            f'got others: {differences}'
        )
