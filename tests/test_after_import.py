"""What is to be done once a module is there."""

import importlib
import importlib.util
import sys

import pytest

from mmseg_g4seg.after_import import after_import


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A module that can be imported and has not been."""
    (tmp_path / 'some_host.py').write_text('registry = []\n')
    monkeypatch.syspath_prepend(tmp_path)
    watchers = list(sys.meta_path)
    yield 'some_host'
    sys.modules.pop('some_host', None)
    sys.meta_path[:] = watchers


def test_waits_for_the_module_and_is_called_once(host):
    seen = []
    after_import(host, lambda: seen.append(sys.modules[host].registry))
    assert seen == []
    module = importlib.import_module(host)
    assert seen == [module.registry]
    importlib.reload(module)
    assert len(seen) == 1


def test_a_module_that_is_there(host):
    importlib.import_module(host)
    seen = []
    after_import(host, lambda: seen.append(1))
    assert seen == [1]


def test_asking_whether_it_is_installed_is_no_import(host):
    seen = []
    after_import(host, lambda: seen.append(1))
    assert importlib.util.find_spec(host) is not None
    assert seen == []
    importlib.import_module(host)
    assert seen == [1]


def test_a_module_that_is_not_installed():
    watchers = list(sys.meta_path)
    after_import('no_such_host', lambda: pytest.fail('called'))
    try:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module('no_such_host')
    finally:
        sys.meta_path[:] = watchers


def test_what_the_function_raises_reaches_the_importer(host):
    def fail():
        raise RuntimeError('the host is too old')

    after_import(host, fail)
    with pytest.raises(RuntimeError, match='too old'):
        importlib.import_module(host)
