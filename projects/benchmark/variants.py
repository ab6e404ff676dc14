"""One pass of the denoiser in ways that compute the same: as it is, compiled, and replayed as a CUDA graph."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mmseg_g4seg.diffusion.acceleration import compile_blocks
from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.finite import FiniteWatch

from .cases import Case
from .device import peak_memory
from .options import BenchmarkOptions
from .passes import Call, PassBench
from .table import align

VARIANTS = ('as it is', 'graph', 'compiled', 'compiled, graph')


@dataclass(frozen=True)
class VariantCost:
    """Seconds of a plain pass and of one under masks; `first_seconds` is what getting ready took, compiling too."""

    variant: str
    first_seconds: float
    plain_seconds: float | None = None
    injected_seconds: float | None = None
    peak_bytes: int | None = None
    error: str | None = None


@torch.no_grad()
def measure_variants(
    prior: LatentPrior, case: Case, options: BenchmarkOptions, keep: Callable[[list[VariantCost]], None]
) -> list[VariantCost]:
    """Measures `VARIANTS` on one prior, which is left compiled.

    Args:
        prior: on the device of the options.
        case: whose classes are injected.
        options: passes a batch, and repeats.
        keep: is given the costs so far after each variant.
    """
    bench, costs = PassBench(prior, options), list[VariantCost]()
    for variant in VARIANTS:
        if variant == 'compiled':
            compile_blocks(prior.denoiser)
        costs.append(_measure(variant, bench, bench.calls(case)))
        keep(costs)
    return costs


def _measure(variant: str, bench: PassBench, calls: dict[str, Call]) -> VariantCost:
    """One variant; one that fails says why."""
    start = time.perf_counter()
    try:
        with peak_memory(bench.prior.device) as memory:
            if variant.endswith('graph'):
                calls = {name: captured(call) for name, call in calls.items()}
            for call in calls.values():
                call()
        first = bench.clock() - start
        seconds = bench.seconds(calls)
    except Exception as error:  # the other variants go on
        return VariantCost(variant, time.perf_counter() - start, error=f'{type(error).__name__}: {error}'[:300])
    finally:
        # what a graph noted lies in its own memory
        bench.prior.finite = FiniteWatch()
    return VariantCost(variant, first, seconds['plain'], seconds['injected'], memory.peak)


def captured(call: Call) -> Call:
    """A call's kernels as a CUDA graph, which replays them on the same inputs.

    Raises:
        RuntimeError: without a GPU, or if something in the call waits for the device.
    """
    if not torch.cuda.is_available():
        raise RuntimeError('CUDA graphs need a GPU')
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # libraries take their workspaces, which a graph must not
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def format_variants(costs: list[VariantCost]) -> str:
    """A row a variant."""
    rows = [['pass', 'ready after s', 'plain ms', 'injected ms', 'injection', 'peak MB', '']]
    for cost in costs:
        row = [cost.variant, f'{cost.first_seconds:.1f}']
        if cost.plain_seconds is None or cost.injected_seconds is None:
            rows.append([*row, '-', '-', '-', '-', cost.error or ''])
            continue
        peak = '-' if cost.peak_bytes is None else f'{cost.peak_bytes / 1e6:.0f}'
        share = f'{cost.injected_seconds / cost.plain_seconds - 1:+.1%}'
        rows.append([*row, f'{cost.plain_seconds * 1e3:.1f}', f'{cost.injected_seconds * 1e3:.1f}', share, peak, ''])
    return align(rows)


def as_dicts(costs: list[VariantCost]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(cost) for cost in costs]
