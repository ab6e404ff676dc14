"""A dataset of images and coarse masks in, the same with refined masks out.

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
    """Adds the refinement of masks to a dataset; nothing runs until the result is read or written.

    Each row is refined by itself: its result depends on its columns alone, whatever the batch, the process or the
    order. A row that cannot be refined has empty masks and the error in its report, and the others go on; so does an
    image that ended its process three times.

    Args:
        dataset: with the columns `image` (H, W, 3) uint8 RGB; `key`, text or integer, one an image, which fixes its
            noise; `scores` (C, H, W) float in [0, 1] that sum to 1, or `labels` (H, W) integer, values outside [0, C)
            unlabelled, or both. Other columns come along.
        refiner: as `load_refiner` takes it: `tiny`, a config file, a prior's folder, or `dict(type=...)`.
        classes: C names, or a `ClassList`.
        batch_size: rows a task.
        num_gpus: of each worker, fractions too; 0 for the CPU. The coarse source and every stage of a chain that needs
            a GPU share it.
        concurrency: workers, each with its own refiner. What needs no GPU, as the dense CRF, runs beside them on as
            many CPUs as there are.
        coarse: `sclip` or another source of `load_source`, or its config; it makes the masks, of which the dataset
            then needs none.

    Returns:
        The rows in any order, with `scores` (C, H, W) float32, `labels` (H, W) int32 and `report`, JSON: the image's
        `ImageRecord`, or its `name` and `error`.

    Raises:
        ValueError: if config, classes or numbers do not fit. Where the dataset lacks a column, when it is read.
    """
    resources = Resources(batch_size=batch_size, num_gpus=num_gpus, concurrency=concurrency)
    config = read_refiner_config(refiner if isinstance(refiner, (str, Path)) else dict(refiner))
    source = None if coarse is None else source_config(coarse, where='coarse')
    setting = Setting(ClassList.of(classes), [*types_in(config), *types_in(source)])
    check_classes(config, setting.classes)
    return Pipeline(setting, resources, start_ledger()).refined(dataset, config, source, ends=True)
