"""A Ray cluster for a command: one of this machine, or one that runs."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.data import DataContext

LOCAL = 'local'
"""The address of a cluster that is started on this machine, and ends with the command."""


@contextmanager
def connected(
    address: str = LOCAL, *, processes: int = 1, gpus: float = 0, store_bytes: int | None = None
) -> Iterator[None]:
    """Connects to a cluster until the block ends; where this process is connected already, it stays so.

    Args:
        address: `local`, `auto` for the cluster that this machine belongs to, or `HOST:6379` of its head.
        processes: that a local cluster must have room for.
        gpus: that a local cluster must have. Another one may grow.
        store_bytes: of a local cluster's object store; a share of the memory when not given.

    Raises:
        ConnectionError: if there is no such cluster.
        ValueError: if the address is of Ray's client, which Ray Data does not run through, or GPUs are missing.
    """
    if address.startswith('ray://'):
        raise ValueError(
            f'ray: expected local, auto or HOST:6379, got {address!r}, whose client Ray Data does not run through; '
            'start the command on the cluster: ray job submit --address http://HOST:8265 -- g4seg ...'
        )
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    own: dict[str, Any] = {}
    if address == LOCAL:
        cpus = max(os.cpu_count() or 1, processes)
        own = dict(num_cpus=cpus, include_dashboard=False, object_store_memory=store_bytes)
    # of every pool of actors it says that what they were built of might be lost, which lies in this process
    os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'fatal')
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
    try:
        found = ray.cluster_resources().get('GPU', 0)
        if address == LOCAL and found < gpus:
            raise ValueError(f'device: expected a GPU for each worker, {gpus:g}, got {found:g} on this machine')
        if found < min(gpus, 1):
            print('the cluster has no GPU yet: the run waits for one', file=sys.stderr)
        yield
    finally:
        ray.shutdown()


@contextmanager
def quiet_execution() -> Iterator[None]:
    """Datasets that are made meanwhile show their progress in a terminal, and say nothing in a log file."""
    context, logger = DataContext.get_current(), logging.getLogger('ray.data')
    wanted = dict(
        enable_progress_bars=sys.stderr.isatty(),
        print_on_execution_start=False,
        raise_original_map_exception=True,  # else what a process lacks would be lost on its way here
        execution_no_progress_timeout_s=-1,  # a batch of large images takes as long as it takes
    )
    before, level = {name: getattr(context, name) for name in wanted}, logger.level
    vars(context).update(wanted)
    logger.setLevel(logging.CRITICAL)  # errors come as exceptions
    try:
        yield
    finally:
        vars(context).update(before)
        logger.setLevel(level)
