"""What the device itself does: its name, its memory, the rate of its matrix products."""

import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from mmseg_g4seg.ops.clock import seconds_on

LEAST_SECONDS = 0.02
"""A matrix product that takes less is measured too coarsely, and too small to fill the device."""
LARGEST_PRODUCT = 16384


def device_name(device: torch.device) -> str:
    """What the device calls itself, a CPU with its number of threads."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        names = [line.split(':', 1)[1].strip() for line in info.read_text().splitlines() if 'model name' in line]
        model = names[0] if names else model
    return f'{model}, {torch.get_num_threads()} threads'


def matrix_rate(device: torch.device, dtype: torch.dtype, *, repeats: int = 5) -> float:
    """Measures the device's rate on square matrix products, FLOP/s: the best of several, of any size.

    Products grow until one takes long enough to measure.
    """
    side, rate = 512, 0.0
    while True:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        seconds = []
        for _ in range(repeats + 1):  # the first warms up
            start = seconds_on(device)
            a @ b
            seconds.append(seconds_on(device) - start)
        rate = max(rate, 2 * side**3 / min(seconds[1:]))
        if min(seconds[1:]) >= LEAST_SECONDS or side >= LARGEST_PRODUCT:
            return rate
        side *= 2


@dataclass
class Memory:
    """Bytes in use when a block began, and the most within it; None where the system does not tell."""

    before: int | None = None
    peak: int | None = None


def memory_source(device: torch.device) -> str:
    """Says what `peak_memory` reads."""
    if device.type == 'cuda':
        return 'allocated on the GPU (torch.cuda.max_memory_allocated), weights included'
    return "the process's resident memory (VmHWM), weights and Python included"


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Memory]:
    """Measures the most memory that the block has in use at a time."""
    memory = Memory()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        memory.before = torch.cuda.memory_allocated(device)
        yield memory
        torch.cuda.synchronize(device)
        memory.peak = torch.cuda.max_memory_allocated(device)
        return
    # garbage that is collected within the block would make room for what the block takes
    gc.collect()
    resettable = _reset_resident_peak()
    memory.before = _resident('VmRSS')
    yield memory
    memory.peak = _resident('VmHWM') if resettable else None


def _reset_resident_peak() -> bool:
    """Lets Linux forget the process's peak so far; says whether it did."""
    try:
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    """Reads a field of the process's status, bytes."""
    status = Path('/proc/self/status')
    if not status.is_file():
        return None
    sizes = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f'{field}:')]
    return sizes[0] * 1024 if sizes else None
