"""Priors that a short name stands for: the embedded one, and those of installed packages.

A package announces its priors as entry points of the group `mmseg_g4seg.priors`, each a `Path` of a folder in diffusers
layout:

    [project.entry-points.'mmseg_g4seg.priors']
    meadow = 'meadow_priors:FOLDER'
"""

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

EMBEDDED_PRIORS = {'tiny': Path(__file__).parents[1] / 'assets' / 'prior_tiny'}
"""Priors that this package carries, by name."""

GROUP = 'mmseg_g4seg.priors'
OWN_PACKAGE, IN_OWN_PACKAGE = 'mmseg-g4seg-priors', ('animals', 'street')
"""The project's own package of priors, and what it has; see the folder `priors` of the repository."""


def named_prior(source: str | Path) -> Path | None:
    """Folder of the prior that a name stands for, or None where `source` is no such name.

    Raises:
        ImportError: if the package that announces the name cannot be imported.
        FileNotFoundError: if its folder is not there.
    """
    name = str(source)
    if name in EMBEDDED_PRIORS:
        return EMBEDDED_PRIORS[name]
    announced = _announced().get(name)
    if announced is None:
        return None
    folder = Path(announced.load())
    if not folder.is_dir():
        raise FileNotFoundError(f'prior {name!r}: {announced.value} names the folder {folder}, which is not there')
    return folder


def prior_names() -> list[str]:
    """All names that `named_prior` knows here."""
    return sorted({*EMBEDDED_PRIORS, *_announced()})


def expected_names() -> str:
    """Those names for an error's text, and what would bring more."""
    missing = [name for name in IN_OWN_PACKAGE if name not in _announced()]
    return f'{prior_names()}' + (f'; {" and ".join(missing)} come with {OWN_PACKAGE}' if missing else '')


@cache
def _announced() -> dict:
    """Entry points by name; read once, since every installed package is looked at."""
    return {point.name: point for point in entry_points(group=GROUP)}
