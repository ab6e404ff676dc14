"""What a report says of its run: the command, the settings, the versions."""

import platform
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from mmseg_g4seg import __version__

DISTRIBUTIONS = (
    'torch', 'numpy', 'pillow', 'diffusers', 'transformers', 'open_clip_torch', 'mmsegmentation',
    'onedl-mmsegmentation', 'mmengine', 'onedl-mmengine', 'mmcv', 'onedl-mmcv', 'detectron2',
)  # fmt: skip
"""Whose versions figures may depend on; those that are installed are named."""


@dataclass(frozen=True)
class RunNotes:
    """Attributes:
    title: of the report.
    command: that started the run.
    settings: text of each kind, such as the refiner's config, by its heading.
    versions: by name; the device, too, since seconds are of one.
    """

    title: str
    command: str = ''
    settings: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def describe_run(title: str, settings: Mapping[str, str]) -> RunNotes:
    """Notes of the run of this process."""
    # not of the distribution: a clone's is as old as its last install
    versions = {'Python': platform.python_version(), 'mmseg_g4seg': __version__}
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {platform.machine()}'
    return RunNotes(title, command_line(sys.orig_argv), settings, {**versions, 'device': device})


def command_line(arguments: list[str]) -> str:
    """A process's arguments as one would type them; a console script is called by its name."""
    program, *rest = arguments
    if rest and Path(rest[0]).is_absolute() and Path(rest[0]).parent == Path(sys.executable).parent:
        return shlex.join([Path(rest[0]).name, *rest[1:]])
    return shlex.join([Path(program).name, *rest])
