"""Edits of a config for an evaluation: refiner, metric, test-time augmentation, output. Each is one function."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from mmseg_g4seg.hosts.arrays import read_refiner_config
from mmseg_g4seg.hosts.mmseg.model_config import type_name
from mmseg_g4seg.ops.scores import check_score_type

from .replicas import check_launcher, join_on_cpus


@dataclass(frozen=True)
class Drawing:
    """How predictions are drawn.

    Attributes:
        show: in a window.
        folder: of the painted images; when not given, the run's.
        wait_time: seconds between shown images.
    """

    show: bool = False
    folder: str | None = None
    wait_time: float = 2


def add_refiner(config: Config, source: str | Path) -> None:
    """Puts a refiner behind a config's model, in place; a model that has one gets the new one.

    Args:
        config: any mmseg config.
        source: a config file with `refiner = dict(type=..., ...)`, or what else `load_refiner` takes.

    Raises:
        ValueError: if there is no refiner in it.
    """
    refiner = ConfigDict(read_refiner_config(source))
    if type_name(config.model) == 'RefinedSegmentor':
        # two wrappers would refine twice
        config.model.refiner = refiner
    else:
        config.model = ConfigDict(type='RefinedSegmentor', segmentor=config.model, refiner=refiner)


def set_score_type(config: Config, score_type: str) -> None:
    """Says what the scores of a refined model are, in place.

    Raises:
        ValueError: if nothing refines them, or there is no such type.
    """
    if type_name(config.model) != 'RefinedSegmentor':
        raise ValueError('--score-type says what a refiner is given: expected --refiner FILE, or a config with one')
    check_score_type(score_type)
    config.model.score_type = score_type


def compare_stages(config: Config) -> None:
    """Makes every `IoUMetric` of a config whose model refines a `RefinementMetric`, in place."""
    if type_name(config.model) != 'RefinedSegmentor':
        return
    for name in ('val_evaluator', 'test_evaluator'):
        for metric in _metrics(config.get(name)):
            if type_name(metric) == 'IoUMetric':
                metric.type = 'RefinementMetric'


def use_tta(config: Config) -> None:
    """Evaluates with test-time augmentation, in place, as `--tta` of mmseg's own script does.

    Raises:
        ValueError: if the config lacks `tta_pipeline`.
    """
    if 'tta_pipeline' not in config:
        raise ValueError(
            "--tta: expected 'tta_pipeline' in the config, found none: base the config on one of "
            'configs/_base_/datasets, which have it, or leave --tta out'
        )
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    tta_model = ConfigDict(config.get('tta_model', dict(type='SegTTAModel')))
    if type_name(config.model) == 'RefinedSegmentor' and type_name(tta_model) == 'SegTTAModel':
        tta_model.type = 'RefinedSegTTAModel'
    tta_model.module = config.model
    config.model = tta_model


def save_predictions(config: Config, folder: str) -> None:
    """Lets the IoU metric of the test evaluator write label maps, in place; lists are fine.

    Behind a refiner that is `RefinementMetric`: the refined maps go into the folder, the coarse ones
    into its folder `coarse`.

    Raises:
        ValueError: if the config has no metric.
    """
    metrics = _metrics(config.get('test_evaluator'))
    if not metrics:
        raise ValueError("expected test_evaluator=dict(type='RefinementMetric') in the config to write label maps")
    # a list of evaluators breaks mmseg's own --out, which sets test_evaluator['output_dir']
    metric = next((m for m in metrics if type_name(m) in ('RefinementMetric', 'IoUMetric')), metrics[0])
    metric.output_dir = folder
    metric.keep_results = True


def save_for_fiftyone(config: Config, folder: str) -> None:
    """Lets `RefinementMetric` write the masks as FiftyOne reads them, in place.

    Raises:
        ValueError: if the config has no such metric.
    """
    metrics = [metric for metric in _metrics(config.get('test_evaluator')) if type_name(metric) == 'RefinementMetric']
    if not metrics:
        raise ValueError("--fiftyone: expected test_evaluator=dict(type='RefinementMetric') in the config, found none")
    metrics[0].fiftyone_dir = folder


def write_reports(config: Config) -> None:
    """Lets `RefinementMetric` write its report into the run's folder, in place, where its config names no other.

    So with what processes exchange, which mmengine puts into the current folder.
    """
    for metric in _metrics(config.get('test_evaluator')):
        if type_name(metric) == 'RefinementMetric':
            metric.setdefault('report_dir', config.work_dir)
            if metric.get('collect_device', 'cpu') == 'cpu':
                metric.setdefault('collect_dir', str(Path(config.work_dir) / 'exchanged'))


def share_among_processes(config: Config) -> None:
    """Gives every process of a launcher its own copy of the model, in place, on CPUs or GPUs.

    Raises:
        ValueError: if the config names a launcher that did not start this process.
    """
    if config.launcher == 'none':
        return
    check_launcher(config.launcher, os.environ)
    if not torch.cuda.is_available():
        # before the Runner does, which wants a CUDA device
        join_on_cpus(config.launcher)
    config.setdefault('model_wrapper_cfg', dict(type='ModelReplica'))


def show_predictions(config: Config, drawing: Drawing) -> None:
    """Turns on mmseg's visualization hook, in place; behind a refiner it draws coarse and refined masks."""
    if not config.get('default_hooks', {}).get('visualization'):
        config.merge_from_dict({'default_hooks.visualization': dict(type='SegVisualizationHook')})
    hook = config.default_hooks.visualization
    # every image; upstream's hook draws one of 50 unless it is told otherwise
    hook.draw, hook.interval = True, 1
    if drawing.show:
        hook.show, hook.wait_time = True, drawing.wait_time
    if 'visualizer' not in config:
        config.visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    if drawing.folder:
        config.visualizer.save_dir = drawing.folder
    if type_name(config.model) == 'RefinedSegmentor' and type_name(config.visualizer) == 'SegLocalVisualizer':
        config.visualizer.type = 'RefinedSegVisualizer'


def drop_training(config: Config) -> None:
    """Takes what training alone needs out of a config, in place: an evaluation has no training images to look for."""
    for name in ('train_cfg', 'train_dataloader', 'optim_wrapper', 'param_scheduler'):
        config[name] = None


def _metrics(evaluator: Any) -> list[ConfigDict]:
    """The metric configs of an evaluator, which may be one, a list, or missing."""
    if evaluator is None:
        return []
    return list(evaluator) if isinstance(evaluator, list | tuple) else [evaluator]
