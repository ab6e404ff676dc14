"""Refines the masks of a Ray dataset.

    import ray
    from mmseg_g4seg.hosts.ray_data.dataset import refine_dataset

    dataset = ray.data.read_parquet('s3://BUCKET/images')     # columns image, key, and scores or labels
    refined = refine_dataset(dataset, 'tiny', ['background', 'cat', 'dog'], num_gpus=1, concurrency=8)
    refined.write_parquet('s3://BUCKET/refined')

Shapes: C classes, H W image size.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.data import Dataset

from mmseg_g4seg.coarse import source_config
from mmseg_g4seg.hosts.arrays import read_refiner_config
from mmseg_g4seg.prediction import ClassList, ClassName
from mmseg_g4seg.registry import types_in

from .attempts import start_ledger
from .pipeline import Pipeline, Resources, check_classes
from .rows import Setting


def refine_dataset(
    dataset: Dataset,
    refiner: 'str | Path | Mapping[str, Any]',
    classes: Sequence[ClassName],
    *,
    batch_size: int = 8,
    num_gpus: float = 0,
    concurrency: int = 1,
    coarse: 'str | Mapping[str, Any] | None' = None,
) -> Dataset:
    """Refines the masks of a dataset, lazily: nothing runs until the result is read or written.

    The result of a row depends only on its columns, whatever the batch, the process or the order. If a row cannot be
    refined, or its image kills the process three times, its masks are empty and its report has the error. The other
    rows are refined.

    Args:
        dataset: with the columns `image`, (H, W, 3) uint8 RGB; `key`, text or integer, different for each image, which
            determines the noise; and `scores`, (C, H, W) float in [0, 1] that sum to 1, or `labels`, (H, W) integer
            with values outside [0, C) unlabelled, or both. Other columns are kept, as Ray's batches have them. Names
            that begin with an underscore are the run's own.
        refiner: as for `load_refiner`: `tiny`, a config file, the folder of a prior, or `dict(type=...)`.
        classes: C names, or a `ClassList`.
        batch_size: rows per task.
        num_gpus: GPUs per worker, 1 or a fraction; 0 for the CPU. The coarse source and all stages of a chain that need
            a GPU share it.
        concurrency: number of workers, each with its own refiner. Stages that need no GPU, such as the dense CRF, run
            at the same time on all CPUs.
        coarse: `sclip` or another source of `load_source`, or its config. It makes the masks, so that the dataset needs
            none.

    Returns:
        The rows in any order, with `scores` (C, H, W) float32, `labels` (H, W) int32 and `report`, a JSON of the
        image's `ImageRecord`, or of its `name` and `error`.

    Raises:
        ValueError: if config, classes or numbers do not fit. A missing column ends the run with Ray's
            `RayTaskError`, when the dataset is read.
    """
    resources = Resources(batch_size=batch_size, num_gpus=num_gpus, concurrency=concurrency)
    config = read_refiner_config(refiner if isinstance(refiner, (str, Path)) else dict(refiner))
    source = None if coarse is None else source_config(coarse, where='coarse')
    setting = Setting(ClassList.of(classes), [*types_in(config), *types_in(source)])
    check_classes(config, setting.classes)
    return Pipeline(setting, resources, start_ledger()).refined(dataset, config, source, ends=True)
