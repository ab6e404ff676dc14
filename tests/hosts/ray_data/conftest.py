"""One cluster for all tests of this folder: three nodes on this machine, of one CPU each."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
ray = pytest.importorskip('ray', reason='Ray is not installed: pip install "mmseg_g4seg[ray]"')


@pytest.fixture(scope='session')
def nodes() -> Iterator[Any]:
    """The cluster, which this process is connected to."""
    from ray.cluster_utils import Cluster

    options = dict(num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False)
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        for _ in range(2):
            cluster.add_node(**options)
        ray.init(address=cluster.address, log_to_driver=False, logging_level='error')
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
