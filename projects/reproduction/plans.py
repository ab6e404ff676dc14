"""Turns a row into a command, the files that it reads, and what it needs."""

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmseg.datasets import PascalVOCDataset

from .needs import Need, config_needs, seed_needs
from .records import ConfigRun, Row, SeedRun
from .seeds import VOC, Seeds, find_seeds

OF_REFINER = 'model.refiner.'
SEED_REFINER = '_base_/refiners/g4seg_sd21.py'
LINKS = 'seeds'
"""Folder of links to the seeds, in that of a row's results."""


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes:
        root: of the repository, with `configs` and `tools`.
        out: results, a folder a row.
        data: data sets; configs say `data/...` themselves.
        checkpoints: of coarse models.
        prior: source of it, in place of the configs' hub id; empty for those.
        options: over every config, by dotted key; those of `model.refiner` are G4Seg's, in a chain and for
            seeds, too.
        download: whether models may be fetched from their hub.
        gpus: processes of an evaluation.
    """

    root: Path
    out: Path
    data: Path = Path('data')
    checkpoints: Path = Path('checkpoints')
    prior: str = ''
    options: dict[str, Any] = field(default_factory=dict)
    download: bool = False
    gpus: int = 1


@dataclass(frozen=True)
class Plan:
    """Attributes:
    command: that makes the figures.
    needs: of the command.
    folder: of its results.
    figures: file that it leaves them in.
    files: that it reads, in the folder: their texts by name.
    seeds: that it reads; None for an evaluation.
    """

    command: list[str]
    needs: list[Need]
    folder: Path
    figures: Path
    files: dict[str, str]
    seeds: Seeds | None = None

    @property
    def missing(self) -> list[Need]:
        return [need for need in self.needs if not need.found]


def plan_row(row: Row, places: Places) -> Plan | None:
    """What gives a row; None where the project has nothing that does."""
    if row.run is None:
        return None
    folder = places.out / ''.join(c if c.isalnum() or c in '-+' else '_' for c in row.name)
    if isinstance(row.run, SeedRun):
        return _plan_seeds(row.run, folder, places)
    return _plan_config(row.run, folder, places)


def _plan_config(run: ConfigRun, folder: Path, places: Places) -> Plan:
    config = Config.fromfile(places.root / 'configs' / run.config)
    _merge(config, _options(run, config, places))
    # a file, as a command line of mmengine's options would lose the blanks of paths
    files = {'config.py': config.dump()}
    checkpoint = places.checkpoints / Path(run.weights).name if run.weights else None
    command = [*_python(places.gpus), str(places.root / 'tools/test.py'), str(folder / 'config.py')]
    command += [str(checkpoint)] if checkpoint else []
    command += ['--launcher', 'pytorch'] if places.gpus > 1 else []
    command += ['--work-dir', str(folder)]
    needs = config_needs(run, config, checkpoint, download=places.download)
    return Plan(command, needs, folder, folder / 'metrics.json', files)


def _plan_seeds(run: SeedRun, folder: Path, places: Places) -> Plan:
    config = Config.fromfile(places.root / 'configs' / SEED_REFINER)
    options = {**run.options, **_refiner_options(places)}
    _merge(config, {f'refiner.{key}': value for key, value in options.items()})
    seeds, out = find_seeds(run, places.data), folder / 'masks'
    command = [sys.executable, str(places.root / 'tools/refine_masks.py')]
    command += [str(places.data / VOC / 'JPEGImages'), str(folder / LINKS), str(out)]
    command += ['--classes', ','.join(PascalVOCDataset.METAINFO['classes']), '--format', run.format]
    command += ['--background-rule', run.background_rule, '--out-format', 'index-png']
    command += ['--refiner', str(folder / 'refiner.py')]
    command += ['--labels', str(places.data / VOC / 'SegmentationClass')]
    command += ['--device', 'cuda' if torch.cuda.is_available() else 'cpu']
    needs = seed_needs(run, seeds, config.refiner, places.data, download=places.download)
    return Plan(command, needs, folder, out / 'report.json', {'refiner.py': config.dump()}, seeds)


def _merge(config: Config, options: dict[str, Any]) -> None:
    """Sets options by dotted key, in place."""
    # mmengine takes `_delete_` out of what it is given, and a row of a table is planned more than once
    config.merge_from_dict(deepcopy(options))


def _options(run: ConfigRun, config: Config, places: Places) -> dict[str, Any]:
    """A row's options of a config, and the user's over them; the refiner's go to G4Seg, which leads a chain."""
    others = {key: value for key, value in places.options.items() if not key.startswith(OF_REFINER)}
    if places.prior and 'prior' in config.model.segmentor:
        # zero-shot masks are read in the prior that refines them
        others = {'model.segmentor.prior.source': places.prior, **others}
    chain = config.model.refiner.get('refiners')
    if (chain[0] if chain else config.model.refiner).type != 'G4SegRefiner':
        return others  # a rival of it has no prior, and none of its options
    place = OF_REFINER + ('refiners.0.' if chain else '')
    refiner = {**run.options, **_refiner_options(places)}
    return {**others, **{place + key: value for key, value in refiner.items()}}


def _refiner_options(places: Places) -> dict[str, Any]:
    options = {k.removeprefix(OF_REFINER): v for k, v in places.options.items() if k.startswith(OF_REFINER)}
    return {**options, 'prior.source': places.prior} if places.prior else options


def _python(processes: int) -> Sequence[str]:
    if processes == 1:
        return [sys.executable]
    return [sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
