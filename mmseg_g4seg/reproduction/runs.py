"""Turns a row into a command, runs it once, and reads its figures."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmseg.datasets import PascalVOCDataset

from ..areas import mean_iou
from ..files.whole import write_whole
from .needs import VOC, Need, config_needs, seed_needs
from .paper import ConfigRun, Row, SeedRun

OF_REFINER = 'model.refiner.'
SEED_REFINER = '_base_/refiners/g4seg_sd21.py'


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes:
        root: of the repository, with `configs` and `tools`.
        out: results, a folder a row.
        data: data sets; configs say `data/...` themselves.
        checkpoints: of coarse models.
        prior: in place of the configs' hub id; empty for those.
        options: over every config, as `--cfg-options` of `tools/test.py` takes them; those of
            `model.refiner` are G4Seg's, in a chain and for seeds, too.
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
    """A row's command, what it needs, the folder of its results, and files that the command reads there."""

    command: list[str]
    needs: list[Need]
    folder: Path
    files: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[Need]:
        return [need for need in self.needs if not need.found]


@dataclass(frozen=True)
class Figures:
    """mIoU in per cent, coarse and refined, and the gain's 95 % interval where the run gives one."""

    coarse: float
    refined: float
    interval: tuple[float, float] | None = None


def plan_row(row: Row, places: Places) -> Plan | None:
    """What gives a row; None where the project has nothing that does."""
    if row.run is None:
        return None
    folder = places.out / ''.join(c if c.isalnum() or c in '-+' else '_' for c in row.name)
    if isinstance(row.run, SeedRun):
        return _plan_seeds(row.run, folder, places)
    return _plan_config(row.run, folder, places)


def run_plan(plan: Plan) -> bool:
    """Runs a plan's command, its output going to `log.txt`; a run that was made is not made again.

    Returns:
        Whether its figures are there.
    """
    if read_figures(plan) is not None:
        return True
    plan.folder.mkdir(parents=True, exist_ok=True)
    for name, text in plan.files.items():
        write_whole(plan.folder / name, text)
    with (plan.folder / 'log.txt').open('w') as log:
        done = subprocess.run(plan.command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        write_whole(plan.folder / 'run.json', json.dumps({'command': plan.command}, indent=1) + '\n')
    return read_figures(plan) is not None


def read_figures(plan: Plan) -> Figures | None:
    """The figures of a run; None where there is none, or it was made by another command."""
    record = plan.folder / 'run.json'
    if not record.is_file() or json.loads(record.read_text())['command'] != plan.command:
        return None
    evaluation, seeds = plan.folder / 'metrics.json', plan.folder / 'masks' / 'report.json'
    if evaluation.is_file():
        report = json.loads(evaluation.read_text())
        return Figures(report['coarse']['mIoU'], report['refined']['mIoU'], tuple(report['gain']['interval']))
    images = json.loads(seeds.read_text())['images']
    totals = [sum(torch.tensor(image[side]) for image in images) for side in ('coarse_areas', 'refined_areas')]
    return Figures(*(round(float(mean_iou(total)) * 100, 2) for total in totals))


def _plan_config(run: ConfigRun, folder: Path, places: Places) -> Plan:
    path = places.root / 'configs' / run.config
    config = Config.fromfile(path)
    options = _options(config, places)
    config.merge_from_dict(options)
    checkpoint = places.checkpoints / Path(run.weights).name if run.weights else None
    command = [*_python(places.gpus), str(places.root / 'tools/test.py'), str(path)]
    command += [str(checkpoint)] if checkpoint else []
    command += ['--launcher', 'pytorch'] if places.gpus > 1 else []
    options['test_evaluator.report_dir'] = str(folder)
    command += ['--work-dir', str(folder), '--cfg-options', *map(_as_argument, options.items())]
    return Plan(command, config_needs(run, config, checkpoint, download=places.download), folder)


def _plan_seeds(run: SeedRun, folder: Path, places: Places) -> Plan:
    refiner = Config.fromfile(places.root / 'configs' / SEED_REFINER).refiner.to_dict()
    refiner.update(run.options)
    refiner.update(_refiner_options(places))
    source = folder / 'refiner.py'
    command = [sys.executable, str(places.root / 'tools/refine_masks.py')]
    command += [str(places.data / VOC / 'JPEGImages'), str(places.data / 'seeds' / run.seeds), str(folder / 'masks')]
    command += ['--classes', ','.join(PascalVOCDataset.METAINFO['classes']), '--format', run.format]
    command += ['--background-rule', run.background_rule, '--out-format', 'index-png', '--refiner', str(source)]
    command += ['--labels', str(places.data / VOC / 'SegmentationClass')]
    command += ['--device', 'cuda' if torch.cuda.is_available() else 'cpu']
    needs = seed_needs(run, refiner, places.data, download=places.download)
    return Plan(command, needs, folder, {source.name: f'refiner = {refiner!r}\n'})


def _options(config: Config, places: Places) -> dict[str, Any]:
    """Options of a config; those of the refiner go to G4Seg, which leads where refiners are chained."""
    place = OF_REFINER + ('refiners.0.' if 'refiners' in config.model.refiner else '')
    others = {key: value for key, value in places.options.items() if not key.startswith(OF_REFINER)}
    return {**others, **{place + key: value for key, value in _refiner_options(places).items()}}


def _refiner_options(places: Places) -> dict[str, Any]:
    options = {k.removeprefix(OF_REFINER): v for k, v in places.options.items() if k.startswith(OF_REFINER)}
    return {**options, 'prior': places.prior} if places.prior else options


def _as_argument(option: tuple[str, Any]) -> str:
    """`key=value` as mmengine's DictAction reads it: no blanks but those of a text."""
    key, value = option
    return f'{key}={value if isinstance(value, str) else str(value).replace(" ", "")}'


def _python(processes: int) -> Sequence[str]:
    if processes == 1:
        return [sys.executable]
    return [sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
