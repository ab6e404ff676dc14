"""The command `g4seg`: finds tools, imports none before, ends on Ctrl-C."""

import os
import signal
import subprocess
import sys
from functools import partial
from importlib import import_module

import pytest

from mmseg_g4seg import __version__
from mmseg_g4seg.cli import command
from tests.conftest import ROOT

HOSTED = {'check-dataset', 'convert-dataset', 'test', 'train'}
"""Tools that need mmseg."""


def test_help_lists_every_tool_and_imports_nothing_heavy():
    code = (
        'import sys\n'
        'from mmseg_g4seg.cli.command import main\n'
        'assert main(["--help"]) == 0\n'
        'print(sorted({"torch", "numpy", "mmengine", "diffusers"} & set(sys.modules)))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
    *listed, heavy = done.stdout.splitlines()
    assert heavy == '[]'
    named = {line.split()[0] for line in listed if line.startswith('  ')}
    assert HOSTED | {'refine-masks', 'publish-checkpoint', 'completion'} <= named
    assert 'command' not in named
    assert 'interrupt' not in named


@pytest.mark.parametrize('name', sorted(command.tools()))
def test_every_tool_says_what_it_takes(name):
    if name in HOSTED:
        pytest.importorskip('mmseg')
    module = import_module(f'mmseg_g4seg.cli.{name.replace("-", "_")}')
    assert command.tools()[name]
    assert module.build_parser().format_help()


def test_arguments_are_those_of_the_door(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['g4seg'])
    with pytest.raises(SystemExit) as end:
        command.main(['refine-masks', '--help'])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith('usage: g4seg refine-masks ')


def test_a_converter_has_arguments_of_its_own(capsys, monkeypatch):
    pytest.importorskip('mmseg')
    monkeypatch.setattr(sys, 'argv', ['g4seg'])
    with pytest.raises(SystemExit):
        command.main(['convert-dataset', 'nightcity', '--help'])
    assert capsys.readouterr().out.startswith('usage: g4seg convert-dataset nightcity ')


def test_version(capsys):
    assert command.main(['--version']) == 0
    assert capsys.readouterr().out == f'mmseg_g4seg {__version__}\n'


@pytest.mark.parametrize(
    ('name', 'hint'), [('tset', "did you mean 'test'?"), ('xyzzy', 'expected one of app, check-dataset, ')]
)
def test_a_name_that_is_none(capsys, name, hint):
    assert command.main([name]) == 2
    assert f'there is no tool {name!r}: {hint}' in capsys.readouterr().err


@pytest.mark.parametrize(
    'start', [['-m', 'mmseg_g4seg.cli', 'refine-masks'], [str(ROOT / 'tools/refine_masks.py')]], ids=['g4seg', 'door']
)
def test_ctrl_c_while_torch_is_imported(tmp_path, start):
    # as libraries do that look for optional parts: whatever comes is caught, and the import goes on
    (tmp_path / 'torch.py').write_text(
        'import os, signal, time\n'
        'try:\n'
        '    os.kill(os.getpid(), signal.SIGINT)\n'
        '    time.sleep(20)\n'
        'except BaseException:\n'
        '    pass\n'
    )
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'}
    done = subprocess.run(
        [sys.executable, *start],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        # a shell's background job, as tests may be, ignores the signal, and so would what it starts
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert done.returncode == 130
    assert done.stderr == 'interrupted\n'


def test_completion_knows_tools_and_their_options(tmp_path, capsys):
    pytest.importorskip('mmseg')
    pytest.importorskip('shtab')
    assert command.main(['completion', 'bash']) == 0
    script = tmp_path / 'g4seg'
    script.write_text(capsys.readouterr().out)
    ask = 'source {}; COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_g4seg; echo "${{COMPREPLY[@]}}"'

    def complete(words: str) -> set[str]:
        done = subprocess.run(['bash', '-c', ask.format(script, words)], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert set(command.tools()) == complete('g4seg ""')
    assert complete('g4seg refine-masks images masks out --ou') == {'--out-format'}
    assert complete('g4seg refine-masks images masks out --format sea') == {'seam', 'seam-crf'}
    assert complete('g4seg convert-dataset night') == {'nightcity'}


def test_completion_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'shtab', None)
    assert command.main(['completion', 'zsh']) == 1
    assert 'pip install "mmseg_g4seg[completion]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'stop'), [('test', 'prepare'), ('train', 'Runner.from_cfg'), ('check-dataset', 'check_dataset')]
)
def test_a_config_of_the_package_by_name(monkeypatch, tmp_path, name, stop):
    """From any folder: who installed the wheel knows no path of `configs`."""
    pytest.importorskip('mmseg')

    class Read(Exception):
        """Ends the tool with the config that it read."""

    def end(config, *_, **__):
        raise Read(config)

    module = import_module(f'mmseg_g4seg.cli.{name.replace("-", "_")}')
    monkeypatch.setattr(f'{module.__name__}.{stop}', end)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Read) as read:
        module.main(['mmseg_g4seg::_base_/datasets/camvid.py'])
    assert read.value.args[0].test_dataloader.dataset.data_root == 'data/camvid'
