"""The command `g4seg app`, with a page that is served by nobody."""

import builtins
import os
import signal
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmseg_g4seg.cli.app import main

PAGE = 'mmseg_g4seg.hosts.web.page'


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setenv('GRADIO_TEMP_DIR', '')
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def serving(monkeypatch, serve) -> None:
    page = types.ModuleType(PAGE)
    page.serve = serve
    monkeypatch.setitem(sys.modules, PAGE, page)


def test_uploads_go_with_the_process(monkeypatch, capsys):
    seen = {}

    @contextmanager
    def serve(refiners, **options):
        folder = Path(os.environ['GRADIO_TEMP_DIR'])
        (folder / 'upload.png').touch()
        seen.update(options, refiners=refiners, folder=folder)
        yield 'http://127.0.0.1:7860/'

    def stop(_):
        raise KeyboardInterrupt

    serving(monkeypatch, serve)
    monkeypatch.setattr('threading.Event.wait', stop)
    assert main(['--refiner', 'a.py', '--refiner', 'b.py']) == 130
    # this machine alone, unless asked
    assert (seen['host'], seen['share'], seen['browser']) == ('127.0.0.1', False, False)
    assert seen['refiners'] == ['a.py', 'b.py']
    assert not seen['folder'].exists()
    assert 'http://127.0.0.1:7860/' in capsys.readouterr().out


def test_errors_in_words(monkeypatch, capsys):
    @contextmanager
    def serve(*_, **__):
        raise FileNotFoundError('refiner: no such config file: nowhere.py')
        yield

    serving(monkeypatch, serve)
    assert main(['--refiner', 'nowhere.py']) == 1
    assert capsys.readouterr().err == 'error: refiner: no such config file: nowhere.py\n'


def test_without_gradio(monkeypatch, capsys):
    original = builtins.__import__

    def lacking(name, *args, **kwargs):
        if name == PAGE:
            raise ModuleNotFoundError("No module named 'gradio'", name='gradio')
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', lacking)
    assert main([]) == 1
    assert 'pip install "mmseg_g4seg[app]"' in capsys.readouterr().err
