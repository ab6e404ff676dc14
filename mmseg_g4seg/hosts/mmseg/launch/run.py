"""An evaluation of a config: prepared and checked before a model is built, then run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_g4seg.hosts.mmseg.checks.test_set import check_test_set
from mmseg_g4seg.hosts.mmseg.class_names import announce_dataset
from mmseg_g4seg.hosts.mmseg.mmdetection import register_mmdetection

from .checkpoints import check_checkpoint
from .config import (
    Drawing,
    add_refiner,
    compare_stages,
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
    tta: bool = False,
) -> None:
    """Prepares a config for a run, in place, and checks its test set.

    Args:
        config: any mmseg config, read from a file.
        refiner: a config file with a refiner, for a config that has none.
        score_type: what the coarse model's scores are.
        options: over the config's, by dotted names.
        launcher: that started this process.
        work_dir: folder for logs and metrics; when not given, the config's, or `work_dirs/` and its name.
        checkpoint: of the plain model; when not given, the config's.
        label_maps: folder for predicted label maps.
        drawing: how predictions are drawn; not at all when not given.
        tta: evaluate with test-time augmentation.

    Raises:
        FileNotFoundError: if a file or folder is missing, of the refiner or of the test set.
        ImportError: if the model needs MMDetection, which is missing.
        ValueError: if a setting does not fit the others.
    """
    if refiner:
        add_refiner(config, refiner)
    if score_type:
        set_score_type(config, score_type)
    # behind the refiner, so that options reach into it
    config.merge_from_dict(dict(options or {}))
    register_mmdetection(config.model)
    compare_stages(config)
    config.launcher = launcher
    share_among_processes(config)
    config.work_dir = work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(config.filename).stem)
    write_reports(config)
    config.load_from = checkpoint or config.get('load_from')
    if drawing:
        show_predictions(config, drawing)
    if label_maps:
        save_predictions(config, label_maps)
    if tta:
        # the last edit of the model: behind it RefinedSegmentor is one level deeper
        use_tta(config)
    check_test_set(config)
    check_label_ids(config)


def evaluate(config: Config) -> dict[str, float]:
    """Evaluates a prepared config.

    Raises:
        FileNotFoundError: if there is no such checkpoint.
        ValueError: if the checkpoint is not one of the model.
    """
    runner = Runner.from_cfg(config)
    check_checkpoint(runner.model, config.load_from)
    # a Runner tells the visualizer alone, in the first process; the model needs the class names in every one
    announce_dataset(getattr(runner.test_loop.dataloader.dataset, 'metainfo', {}))
    return runner.test()
