"""One cluster for all tests of this folder: three nodes on this machine, the driver's and two of two CPUs each."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope='session')
def nodes() -> Iterator[Any]:
    """The cluster, which this process is connected to."""
    from tests.hosts.ray_data.needs_ray import ray  # isort: skip

    from ray.cluster_utils import Cluster

    from mmseg_g4seg.hosts.ray_data import pipeline

    options = dict(object_store_memory=100 * 2**20, include_dashboard=False)
    # this process is on the first node, which is the one that cannot be removed
    # processes that wait are not ended, as they are where there are more than CPUs: each imports torch
    kept = dict(num_workers_soft_limit=4)
    cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, _system_config=kept, **options))
    try:
        for _ in range(2):
            # so that all actors of a test fit on one of them; the GPU is one by name alone
            cluster.add_node(num_cpus=2, num_gpus=1, **options)
        ray.init(address=cluster.address, log_to_driver=False, logging_level='error')
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, 'TASKS', 0)  # one that reads and one that writes: each imports torch
            yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
