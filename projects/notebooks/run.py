"""Executes notebooks without Jupyter: cells in order, in one namespace, their outputs as Jupyter would store them.

Pictures are files beside the notebooks: as text inside them they would be in the way of every search and every diff.
"""

import ast
import base64
import copy
import io
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(FOLDER.glob('*.ipynb'))
QUALITY, WIDEST = 80, 1100
"""Of the JPEGs that pictures are stored as: a twentieth of the PNGs that Jupyter would store."""

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """Reads a notebook of format 4, its pictures included."""
    notebook = dict(json.loads(path.read_text(encoding='utf-8')))
    for data in _shown(notebook):
        if 'text/markdown' in data:
            file = path.parent / ''.join(data.pop('text/markdown')).removeprefix('![](').removesuffix(')')
            data['image/jpeg'] = base64.b64encode(file.read_bytes()).decode()
    return notebook


def write(path: Path, notebook: Notebook) -> None:
    """Writes a notebook as Jupyter lays it out, and its pictures into the folder `pictures` beside it."""
    folder = path.parent / 'pictures'
    folder.mkdir(exist_ok=True)
    notebook, number = copy.deepcopy(notebook), 0
    for data in _shown(notebook):
        if 'image/jpeg' in data:
            number += 1
            file = folder / f'{path.stem}_{number}.jpg'
            file.write_bytes(base64.b64decode(data.pop('image/jpeg')))
            data['text/markdown'] = [f'![](pictures/{file.name})']
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + '\n', encoding='utf-8')


def _shown(notebook: Notebook) -> list[dict[str, Any]]:
    """What the cells show, by media type."""
    outputs = [o for cell in notebook['cells'] if cell['cell_type'] == 'code' for o in cell['outputs']]
    return [o['data'] for o in outputs if 'data' in o]


def execute(notebook: Notebook) -> Notebook:
    """Runs the code cells of a notebook; an error in one ends it.

    Returns:
        The notebook with new outputs.
    """
    namespace: dict[str, Any] = {'__name__': '__main__'}
    cells = []
    for number, cell in enumerate(notebook['cells']):
        if cell['cell_type'] == 'code':
            outputs = list(_outputs(''.join(cell['source']), namespace, f'cell {number}'))
            cell = {**cell, 'outputs': outputs}
        cells.append(cell)
    return {**notebook, 'cells': cells}


def texts(notebook: Notebook) -> list[str]:
    """What the cells print and show as text, one entry a code cell."""
    code = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']
    return [''.join(''.join(o.get('text') or o['data'].get('text/plain', '')) for o in c['outputs']) for c in code]


def pictures(notebook: Notebook) -> list[Image.Image]:
    """Pictures among the outputs."""
    stored = [data['image/jpeg'] for data in _shown(notebook) if 'image/jpeg' in data]
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in stored]


def _outputs(source: str, namespace: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, name, 'exec'), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, 'eval'), namespace)
    if printed.getvalue():
        yield dict(output_type='stream', name='stdout', text=printed.getvalue().splitlines(keepends=True))
    # Jupyter shows the last expression, unless a semicolon ends it
    if value is not None and not source.rstrip().endswith(';'):
        yield dict(output_type='execute_result', execution_count=None, metadata={}, data=_data(value))


def _data(value: Any) -> dict[str, Any]:
    if not isinstance(value, Image.Image):
        return {'text/plain': repr(value).splitlines(keepends=True)}
    file = io.BytesIO()
    value = value.convert('RGB')
    value.thumbnail((WIDEST, WIDEST))
    value.save(file, 'JPEG', quality=QUALITY)
    return {'image/jpeg': base64.b64encode(file.getvalue()).decode(), 'text/plain': ['<a picture>']}
