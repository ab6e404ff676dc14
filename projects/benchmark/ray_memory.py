"""Memory of a run on a Ray cluster: python -m projects.benchmark.ray_memory --images 10000

Images of 512 x 512 with scores of 21 classes are drawn in the cluster, 23 MB each, pass a refiner that does nothing,
and are counted. It prints what the driver takes, at most and for each thousand images, and what the object store
spilled to disk, which must be nothing.

Shapes: C classes, H W image size.
"""

import argparse
import json
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.data import Dataset

from mmseg_g4seg.hosts.ray_data.cluster import connected, quiet_execution
from mmseg_g4seg.hosts.ray_data.dataset import refine_dataset
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.registry import register

SIZE, CLASSES = 512, 21


@register
class IdleRefiner(Refiner):
    """Gives back what it gets."""

    name = 'idle'

    def refine_batch(
        self,
        images: Sequence[Any],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        return list(predictions)


def draw(batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Ids into images (H, W, 3) uint8, scores (C, H, W) float32 and keys."""
    scores = np.full((CLASSES, SIZE, SIZE), 1 / CLASSES, np.float32)
    return {
        'image': [np.full((SIZE, SIZE, 3), i % 256, np.uint8) for i in batch['id'].tolist()],
        'scores': [scores for _ in batch['id']],
        'key': batch['id'],
    }


def count(batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Refined rows into their ids, and whether each is at fault."""
    return {'key': batch['key'], 'error': ['error' in json.loads(report) for report in batch['report']]}


def measure(dataset: Dataset, images: int) -> dict[str, Any]:
    """Runs a dataset of ids, and what the driver and the store took meanwhile."""
    before, start, seen, errors, marks = _peak_mib(), time.perf_counter(), 0, 0, []
    for row in dataset.iter_rows():
        seen, errors = seen + 1, errors + int(row['error'])
        if seen % max(1, images // 10) == 0:
            marks.append(round(_peak_mib(), 1))
            print(f'{seen} images, {time.perf_counter() - start:.0f} s, driver {marks[-1]} MiB', flush=True)
    return {
        'images': seen,
        'errors': errors,
        'seconds': round(time.perf_counter() - start, 1),
        'driver_mib_before': round(before, 1),
        'driver_mib_by_tenth': marks,
        'spilled_bytes': spilled_bytes(),
    }


def spilled_bytes() -> int:
    """What the object stores of the cluster have written to disk."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    reply = get_memory_info_reply(get_state_from_address(ray.get_runtime_context().gcs_address))
    return int(reply.store_stats.spilled_bytes_total)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=10_000)
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--store-gib', type=float, default=2.0, help='of the object store')
    parser.add_argument('--json', type=Path, help='file for the figures')
    args = parser.parse_args()
    with connected(processes=args.workers + 2, store_bytes=int(args.store_gib * 2**30)), quiet_execution():
        dataset = ray.data.range(args.images, override_num_blocks=-(-args.images // args.batch_size))
        dataset = dataset.map_batches(draw, batch_size=args.batch_size, num_cpus=0.5)
        names = ['background', *(f'class {i}' for i in range(1, CLASSES))]
        options = dict(batch_size=args.batch_size, concurrency=args.workers)
        refined = refine_dataset(dataset, dict(type='IdleRefiner'), names, **options)
        figures = measure(refined.map_batches(count, batch_size=args.batch_size, num_cpus=0.01), args.images)
    print(json.dumps(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + '\n')


if __name__ == '__main__':
    main()
