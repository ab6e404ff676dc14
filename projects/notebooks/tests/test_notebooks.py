"""Each notebook runs from top to bottom, offline, and says what is stored in it."""

import re

import pytest

from projects.notebooks.run import FOLDER, NOTEBOOKS, execute, pictures, read, texts, write

NUMBER = re.compile(r'-?\d+\.\d+')
LARGEST = 50_000
"""Bytes of a notebook without its pictures."""


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_says_what_is_stored(path, monkeypatch, tmp_path):
    if path.stem == 'mmseg':
        pytest.importorskip('mmseg')
        monkeypatch.chdir(path.parent)  # as Jupyter starts it; it looks for the clone from there
    else:
        monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setattr('tempfile.tempdir', None)
    stored = read(path)
    done = execute(stored)
    for said, before in zip(texts(done), texts(stored), strict=True):
        same_but_for_rounding(said, before)
    assert [p.size for p in pictures(done)] == [p.size for p in pictures(stored)]


def same_but_for_rounding(said, before):
    """Words and whole numbers are the same; decimals differ by little, and seconds by what they do."""
    for line, old in zip(said.splitlines(), before.splitlines(), strict=True):
        if line.startswith('seconds per image'):
            continue
        assert NUMBER.sub('#', line).replace(' ', '') == NUMBER.sub('#', old).replace(' ', '')
        assert [float(n) for n in NUMBER.findall(line)] == pytest.approx(
            [float(n) for n in NUMBER.findall(old)], abs=0.5
        )


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_is_a_story_with_pictures(path):
    notebook = read(path)
    assert path.stat().st_size < LARGEST
    assert notebook['cells'][0]['source'][0].startswith('# ')
    assert len({cell['id'] for cell in notebook['cells']}) == len(notebook['cells'])
    assert pictures(notebook), 'python -m projects.notebooks stores them'
    text = path.read_text(encoding='utf-8')
    assert 'image/jpeg' not in text, 'pictures are files'
    assert not re.search(r'"[^"]*/(home|root|work|tmp)/', text), 'a path of one machine'


def test_every_picture_is_one_of_a_notebook():
    shown = [f'{path.stem}_{i + 1}.jpg' for path in NOTEBOOKS for i in range(len(pictures(read(path))))]
    assert sorted(path.name for path in (FOLDER / 'pictures').iterdir()) == sorted(shown)


def test_written_and_read_again(tmp_path):
    stored = read(NOTEBOOKS[0])
    write(tmp_path / 'again.ipynb', stored)
    assert read(tmp_path / 'again.ipynb') == stored


def test_an_error_in_a_cell_ends_it():
    cell = dict(cell_type='code', source=['x = 1\n', 'x / 0'], outputs=[])
    with pytest.raises(ZeroDivisionError):
        execute(dict(cells=[cell]))


def test_outputs_are_those_of_jupyter():
    sources = ['print("a")\nx = 2', 'x + 1', 'x + 1;', 'def f():\n    return x']
    done = execute(dict(cells=[dict(cell_type='code', source=[s], outputs=[]) for s in sources]))
    assert texts(done) == ['a\n', '3', '', '']
