"""Prepares a config for an evaluation run: refiner, metric, test-time augmentation, output."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict

from ..api import read_refiner_config


def add_refiner(config: Config, source: str | Path, *, score_type: str | None = None) -> None:
    """Puts a refiner behind a config's model, in place; a model that has one gets the new one.

    Args:
        config: any mmseg config.
        source: a config file with `refiner = dict(type=..., ...)`, or what else `load_refiner` takes.
        score_type: what the model's scores are, where not logits.

    Raises:
        ValueError: if there is no refiner in it.
    """
    refiner = ConfigDict(read_refiner_config(source))
    if config.model.get('type') == 'RefinedSegmentor':
        config.model.refiner = refiner
    else:
        config.model = ConfigDict(type='RefinedSegmentor', segmentor=config.model, refiner=refiner)
    if score_type is not None:
        config.model.score_type = score_type


def compare_stages(config: Config) -> None:
    """Makes every `IoUMetric` of a config whose model refines a `RefinementMetric`, in place."""
    if config.model.get('type') != 'RefinedSegmentor':
        return
    for name in ('val_evaluator', 'test_evaluator'):
        for metric in _metrics(config.get(name)):
            if metric.get('type') == 'IoUMetric':
                metric.type = 'RefinementMetric'


def use_tta(config: Config) -> None:
    """Evaluates with test-time augmentation, in place, as `--tta` of mmseg's own script does.

    Raises:
        ValueError: if the config lacks `tta_pipeline`.
    """
    if 'tta_pipeline' not in config:
        raise ValueError("test-time augmentation: expected 'tta_pipeline' in the config, found none")
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    tta_model = ConfigDict(config.get('tta_model', dict(type='SegTTAModel')))
    if config.model.get('type') == 'RefinedSegmentor' and tta_model.type == 'SegTTAModel':
        tta_model.type = 'RefinedSegTTAModel'
    tta_model.module = config.model
    config.model = tta_model


def save_predictions(config: Config, folder: str) -> None:
    """Lets the first metric of the test evaluator write label maps, in place; lists are fine."""
    metric = _metrics(config.test_evaluator)[0]
    metric.output_dir = folder
    metric.keep_results = True


def use_cpu_processes(config: Config) -> None:
    """Lets `--launcher pytorch` run where there is no GPU, in place; with one, mmengine does it all.

    mmengine's launcher selects a CUDA device whatever the backend, and its wrapper names one.
    """
    if config.launcher == 'pytorch' and not torch.cuda.is_available():
        torch.distributed.init_process_group('gloo')
        config.model_wrapper_cfg = ConfigDict(type='MMDistributedDataParallel', device_ids=None)


def show_predictions(config: Config, *, show: bool, show_dir: str | None, wait_time: float) -> None:
    """Turns on mmseg's visualization hook, in place.

    Raises:
        ValueError: if the config has no such hook.
    """
    hook = config.default_hooks.get('visualization')
    if hook is None:
        raise ValueError("expected default_hooks=dict(visualization=dict(type='SegVisualizationHook')) to show results")
    hook.draw = True
    if show:
        hook.show, hook.wait_time = True, wait_time
    if show_dir:
        config.visualizer.save_dir = show_dir


def _metrics(evaluator: Any) -> list[ConfigDict]:
    """The metric configs of an evaluator, which may be one, a list, or missing."""
    if evaluator is None:
        return []
    return list(evaluator) if isinstance(evaluator, list | tuple) else [evaluator]
