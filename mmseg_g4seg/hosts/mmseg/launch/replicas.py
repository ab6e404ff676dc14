"""Processes that share an evaluation: each has its own copy of the model, on a GPU or on CPUs."""

import os
import subprocess
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

LAUNCHERS = {
    'pytorch': ('RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
}
"""What each launcher tells a process: its number, and how many there are."""
DEFAULT_PORT = '29500'


@MODEL_WRAPPERS.register_module()
class ModelReplica(nn.Module):
    """What stands in for DistributedDataParallel in a test: each process has the model, nothing is shared.

    DistributedDataParallel needs parameters with gradients, which a model of saved scores has not, and
    on CPUs other settings than on GPUs; both are about training.

    Args:
        module: the model.
    """

    def __init__(self, module: BaseModel) -> None:
        super().__init__()
        self.module = module

    def test_step(self, data: Any) -> Any:
        return self.module.test_step(data)

    val_step = test_step


def check_launcher(launcher: str, environment: Mapping[str, str]) -> None:
    """Checks that a launcher started this process.

    Args:
        launcher: `pytorch`, `slurm` or `mpi`.
        environment: variables of this process.

    Raises:
        ValueError: if the launcher's variables are missing.
    """
    missing = [name for name in LAUNCHERS[launcher] if name not in environment]
    if missing:
        raise ValueError(
            f'--launcher {launcher}: expected the variables {" and ".join(missing)}, which the launcher gives each '
            'process: start with tools/dist_test.sh or tools/slurm_test.sh, or leave --launcher out for one process'
        )


def process_variables(launcher: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which torch joins processes, from those that a launcher sets.

    Args:
        launcher: as for `check_launcher`.
        environment: likewise.

    Returns:
        RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; the last two as they are where they are set, else
        the job's first machine and torch's usual port.
    """
    rank, count = (environment[name] for name in LAUNCHERS[launcher])
    return {
        'RANK': rank,
        'WORLD_SIZE': count,
        'MASTER_ADDR': environment.get('MASTER_ADDR') or _first_machine(environment),
        'MASTER_PORT': environment.get('MASTER_PORT') or DEFAULT_PORT,
    }


def join_on_cpus(launcher: str) -> None:
    """Joins the processes of a launcher where there is no GPU.

    mmengine selects a CUDA device whatever the backend; it leaves alone what is joined already.
    """
    os.environ.update(process_variables(launcher, os.environ))
    torch.distributed.init_process_group('gloo')


def _first_machine(environment: Mapping[str, str]) -> str:
    """The address of process 0; only Slurm's own tool can read its short form of several names."""
    if int(environment.get('SLURM_NNODES', 1)) == 1:
        return '127.0.0.1'
    command = ['scontrol', 'show', 'hostnames', environment['SLURM_NODELIST']]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
