"""An evaluation of a config: prepared and checked before a model is built, then run."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_g4seg.hosts.mmseg.checks.test_set import check_test_set
from mmseg_g4seg.hosts.mmseg.class_names import announce_dataset, announce_settings
from mmseg_g4seg.hosts.mmseg.mmdetection import register_mmdetection

from .checkpoints import check_checkpoint
from .config import (
    Drawing,
    add_refiner,
    compare_stages,
    drop_training,
    save_for_fiftyone,
    save_predictions,
    set_score_type,
    share_among_processes,
    show_predictions,
    use_tta,
    write_reports,
)
from .label_ids import check_label_ids


def prepare(
    config: Config,
    *,
    refiner: str | Path | None = None,
    score_type: str | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
    work_dir: str | None = None,
    checkpoint: str | None = None,
    label_maps: str | None = None,
    drawing: Drawing | None = None,
    fiftyone: str | None = None,
    tta: bool = False,
) -> None:
    """Prepares a config, read from a file, for a run, in place, and checks its test set.

    Args:
        config: of mmseg; what is not given below stays as it says.
        refiner: config file of a refiner to put behind the model.
        score_type: what the coarse model's scores are.
        options: over the config's, by dotted names.
        launcher: that started this process.
        work_dir: folder for logs and metrics; `work_dirs/` and the config's name where nothing names one.
        checkpoint: of the plain model.
        label_maps: folder for predicted label maps.
        drawing: how predictions are drawn.
        fiftyone: folder for masks as FiftyOne reads them.
        tta: evaluate with test-time augmentation.
    """
    edit_model(config, refiner, score_type, options or {})
    config.launcher = launcher
    share_among_processes(config)
    drop_training(config)
    config.work_dir = work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(config.filename).stem)
    write_reports(config)
    config.load_from = checkpoint or config.get('load_from')
    if drawing:
        show_predictions(config, drawing)
    if label_maps:
        save_predictions(config, label_maps)
    if fiftyone:
        save_for_fiftyone(config, fiftyone)
    if tta:
        # the last edit of the model: the others look for RefinedSegmentor at the top
        use_tta(config)
    check_test_set(config)
    check_label_ids(config)


def edit_model(config: Config, refiner: str | Path | None, score_type: str | None, options: Mapping[str, Any]) -> None:
    """The edits of the model, in place; arguments as for `prepare`."""
    if refiner:
        add_refiner(config, refiner)
    if score_type:
        set_score_type(config, score_type)
    # behind the refiner: `--cfg-options model.refiner.update.beta=0.5` reaches into one that --refiner brought
    config.merge_from_dict(dict(options))
    register_mmdetection(config.model)
    # behind the options, which may bring the refiner or take it away
    compare_stages(config)


def build_runner(config: Config) -> Runner:
    """Builds a config's Runner without what mmseg's parts say to those who train or draw, which a test never does."""
    with warnings.catch_warnings():
        for message in ('Default ``avg_non_ignore`` is False', 'The draw is False', '``build_loss`` would be'):
            warnings.filterwarnings('ignore', message=message, category=UserWarning)
        return Runner.from_cfg(config)


def evaluate(config: Config) -> dict[str, float]:
    """Evaluates a prepared config.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        ValueError: if the checkpoint is not one of the model.
    """
    runner = build_runner(config)
    check_checkpoint(runner.model, config.load_from)
    # a Runner tells the visualizer alone, in the first process; the model needs the class names in every one
    announce_dataset(getattr(runner.test_loop.dataloader.dataset, 'metainfo', {}))
    announce_settings(config)
    return runner.test()
