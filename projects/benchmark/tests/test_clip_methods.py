"""The script that times ways of reading CLIP; the encoder is small, since its figures are not looked at."""

import re

import pytest

from projects.benchmark import clip_methods
from tests.coarse.clip.tiny import build_clip

open_clip = pytest.importorskip('open_clip')


def test_a_line_a_method(monkeypatch, capsys):
    monkeypatch.setattr(open_clip, 'create_model', lambda *_, **__: build_clip(layers=2))
    clip_methods.main(['sclip', 'naclip', '--repeats', '1', '--windows', '1'])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith('1 windows of 64')
    assert [line.split(':')[0] for line in lines] == ['sclip', 'naclip']
    assert all(float(re.search(r': ([0-9.]+) of', line)[1]) > 0 for line in lines)
