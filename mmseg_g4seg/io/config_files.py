"""Reads config files of the kind that mmengine has, without mmengine: Python, with `_base_` and `_delete_`.

A file's dicts go over those of its base, key by key; `_delete_=True` in one takes the base's place whole. In the file,
`_base_.name` is what the base says.
"""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).parents[1]
SCHEME = 'mmseg_g4seg::'
"""What a path begins with that is among the configs of this package, installed or in a clone."""


class Base(dict[str, Any]):
    """A dict whose keys are attributes, too, as configs write them: `_base_.refiner`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f'_base_ has no {name!r}; it has {sorted(self)}') from error


def find_shipped(path: str | Path) -> Path | None:
    """The file that a path names, `mmseg_g4seg::_base_/classes/voc21.txt` among them; None where there is none."""
    name = str(path)
    shipped = [folder / name.removeprefix(SCHEME) for folder in _own_folders()] if name.startswith(SCHEME) else []
    return next((file for file in (*shipped, Path(name).expanduser()) if file.is_file()), None)


def _own_folders() -> tuple[Path, Path]:
    """Where this package's configs are: installed, and in a clone."""
    return PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs'


def find_config(path: str | Path) -> Path:
    """The config that a path names, `mmseg_g4seg::_base_/refiners/g4seg_tiny.py` among them.

    Raises:
        FileNotFoundError: if there is none.
    """
    found = find_shipped(path)
    if found is None:
        known = {
            file.name: folder for folder in _own_folders() for file in (folder / '_base_' / 'refiners').glob('*.py')
        }
        close = get_close_matches(Path(path).name, known, n=3)
        near = '; this package has ' + ', '.join(f'{SCHEME}_base_/refiners/{other}' for other in close) if close else ''
        raise FileNotFoundError(f'refiner: no such config file: {path}{near}')
    return found


def read_config(path: str | Path) -> dict[str, Any]:
    """Reads a config file and the files that it is based on.

    Raises:
        FileNotFoundError: if it, or one of these, is not there.
        ImportError: if it is based on a config of another package, which mmengine finds.
        ValueError: if `_base_` is no path or list of paths, or two bases have a name in common.
    """
    path = find_config(path)
    tree = ast.parse(path.read_bytes(), str(path))  # bytes: the file itself says its encoding, UTF-8 if nothing else
    bases = [node for node in tree.body if isinstance(node, ast.Assign) and _target(node) == '_base_']
    base: dict[str, Any] = {}
    for name in _paths(bases[-1].value, path) if bases else ():
        if '::' in name and not name.startswith(SCHEME):
            raise ImportError(
                f'{path}: _base_ {name!r} is read by mmengine, which is not installed here: pip install onedl-mmengine '
                f'(beside mmsegmentation 1.2.2: mmengine), and the package of {name.partition("::")[0]}'
            )
        read = read_config(name if name.startswith(SCHEME) else path.parent / name)
        twice = sorted(set(read) & set(base))
        if twice:
            raise ValueError(f'{path}: expected bases without a name in common, got {twice[0]!r} twice')
        base |= read
    tree.body = [node for node in tree.body if node not in bases]
    # run, as mmengine does: configs are Python of the user's own
    content: dict[str, Any] = {'_base_': _with_attributes(base), '__file__': str(path)}
    exec(compile(tree, str(path), 'exec'), content)
    own = {
        name: value
        for name, value in content.items()
        if not name.startswith('_') and not callable(value) and not isinstance(value, ModuleType)
    }
    return _over(base, own)


def _target(node: ast.Assign) -> str:
    return getattr(node.targets[0], 'id', '')


def _paths(value: ast.expr, path: Path) -> list[str]:
    try:
        found = ast.literal_eval(value)
    except ValueError:
        found = None
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path}: _base_: expected a path or a list of paths, got {ast.unparse(value)}')
    return list(names)


def _with_attributes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Base({name: _with_attributes(inner) for name, inner in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(_with_attributes(inner) for inner in value)
    return value


def _over(base: Any, own: Any) -> Any:
    """A value with another one over it: dicts are merged, all else is replaced; plain dicts come out."""
    if isinstance(own, Mapping):
        kept = {} if own.get('_delete_') or not isinstance(base, Mapping) else base
        names = [*kept, *(name for name in own if name not in kept and name != '_delete_')]
        return {name: _over(kept.get(name), own[name]) if name in own else kept[name] for name in names}
    if isinstance(own, list | tuple):
        return type(own)(_over(None, inner) for inner in own)
    return own
