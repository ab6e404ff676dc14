"""Weights that ship come without a trace of the machine that made them."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / 'mmseg_g4seg/assets', ROOT / 'priors')


def texts(content):
    if isinstance(content, dict):
        return [text for key, value in content.items() for text in (key, *texts(value))]
    if isinstance(content, list):
        return [text for value in content for text in texts(value)]
    return [content] if isinstance(content, str) else []


@pytest.mark.parametrize(
    'path', sorted(p for f in FOLDERS for p in f.rglob('*.json') if 'tokenizer' not in p.parts), ids=str
)
def test_no_paths(path):
    found = texts(json.loads(path.read_text()))
    assert not [text for text in found if text.startswith('/') or text == '_name_or_path']
