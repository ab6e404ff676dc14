"""One training loop for both networks: progress bar, CSV log, exponential average, resumption.

A step reads nothing back from the device: the host runs ahead of a GPU, and other processes draw ahead of the host.
"""

import csv
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mmseg_g4seg.io.atomic import atomic_file, atomic_write

SHOWN_EVERY = 25
"""Steps between two looks at the running loss, for which the host waits."""
AHEAD = 4
"""Steps that each process draws ahead, some 10 MB each, in shared memory."""
LEAST_SHARED = 2**30

Draw = Callable[[torch.Generator], Any]


class Average:
    """Exponential moving average of a network's weights, with the usual warm-up."""

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.network, self.decay = network, decay
        self.weights = {name: w.detach().clone() for name, w in network.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        weights = self.network.state_dict()
        floating = [name for name, weight in weights.items() if weight.is_floating_point()]
        average = get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        # all at once: on a GPU, one by one, hundreds of short kernels take longer than the step's backward pass
        average([self.weights[name] for name in floating], [weights[name] for name in floating], step)
        for name in weights.keys() - set(floating):
            self.weights[name].copy_(weights[name])

    def swap(self) -> None:
        """Exchanges the network's weights and the averages."""
        current = {name: w.detach().clone() for name, w in self.network.state_dict().items()}
        self.network.load_state_dict(self.weights)
        self.weights = current


def train(
    network: nn.Module,
    loss: Callable[[Any], Tensor],
    *,
    draw: Draw = lambda generator: generator,
    workers: int = 0,
    steps: int,
    learning_rate: float,
    folder: Path,
    name: str,
    report: Callable[[int], dict[str, float]],
    report_every: int = 250,
    save_every: int = 250,
    warm_up: int = 100,
    max_minutes: float = float('inf'),
    seed: int = 0,
) -> None:
    """Trains a network in place and leaves the averaged weights in it.

    The state is written every `save_every` steps, whole or not at all; a run that finds one goes
    on from it, with the same random draws as an undisturbed run.

    Args:
        network: what to train.
        loss: scalar loss of what was drawn for a step.
        draw: draws that from the step's generator, on the CPU; without it `loss` is given the generator.
        workers: processes that draw ahead; their draws are those that this one would make. 0 draws here.
        steps: how many steps in all; the learning rate falls to a tenth along a cosine.
        learning_rate: AdamW's highest.
        folder: where `NAME_state.pt` and `NAME_log.csv` go.
        name: of this stage.
        report: called with the step on averaged weights; its figures go to the log.
        report_every: steps between reports.
        save_every: steps between saved states.
        warm_up: steps of linear warm-up.
        max_minutes: stop after this long in all, as if `steps` were reached; the cosine ends then, too.
        seed: of the draws; step i draws from the generator seeded by (seed, i).
    """
    state_path, log_path = folder / f'{name}_state.pt', folder / f'{name}_log.csv'
    optimizer, average, first, spent, running = _begin(network, learning_rate, state_path, log_path)
    begun, limit = time.monotonic() - spent, 60 * max_minutes
    steps = first if spent > limit else steps  # or each call, after a kill that came later, would take one step more
    bar = tqdm(range(first, steps), name, initial=first, total=steps, mininterval=5)
    for step, drawn in zip(bar, _drawn_ahead(draw, range(first, steps), seed, workers, network), strict=True):
        passed = max(step / steps, (time.monotonic() - begun) / limit if limit else 1.0)
        rate = learning_rate * _rate(min(1.0, passed), (step + 1) / warm_up)
        current = _descend(network, optimizer, loss(drawn), rate)
        average.update(step)
        running = current if running is None else 0.98 * running + 0.02 * current
        seconds = time.monotonic() - begun
        last = step + 1 == steps or seconds > limit
        if (step + 1) % SHOWN_EVERY == 0 or last:
            bar.set_postfix(loss=f'{running.item():.4f}', refresh=False)
        if (step + 1) % report_every == 0 or last:
            _log(log_path, step + 1, running.item(), _report(network, average, report, step + 1))
        if (step + 1) % save_every == 0 or last:
            _save_state(state_path, network, optimizer, average, (step + 1, seconds, running))
        if last:
            break
    average.swap()
    network.eval()


def _begin(
    network: nn.Module, learning_rate: float, state_path: Path, log_path: Path
) -> tuple[torch.optim.Optimizer, Average, int, float, Tensor | None]:
    """What trains a network, as a saved state left it: optimizer, averages, steps taken, their seconds and loss."""
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, betas=(0.9, 0.99), weight_decay=1e-2)
    average = Average(network)
    taken = _load_state(state_path, network, optimizer, average) if state_path.exists() else (0, 0.0, None)
    _forget_after(log_path, taken[0])
    network.train()
    return optimizer, average, *taken


def drawing_processes(device: str) -> int:
    """How many processes draw ahead of a training: none for a CPU, which computes with all its cores.

    Half of the cores for a GPU, so that two trainings may share it.
    """
    shared = Path('/dev/shm')
    if torch.device(device).type == 'cpu' or not shared.is_dir() or shutil.disk_usage(shared).free < LEAST_SHARED:
        return 0
    return max(1, len(os.sched_getaffinity(0)) // 2 - 1)


class _Draws(Dataset):
    """Item i is what step i asks, drawn from the generator seeded by (seed, i)."""

    def __init__(self, draw: Draw, seed: int) -> None:
        self.draw, self.seed = draw, seed

    def __getitem__(self, step: int) -> Any:
        return self.draw(torch.Generator().manual_seed(self.seed * 1_000_003 + step))


def _drawn_ahead(draw: Draw, steps: range, seed: int, workers: int, network: nn.Module) -> Iterable[Any]:
    """What the steps ask, in order."""
    draws = _Draws(draw, seed)
    if not workers:
        return (draws[step] for step in steps)
    pinned = next(network.parameters()).device.type == 'cuda'
    # forked: the images are in the parent's memory, and need not be copied to each process
    return DataLoader(
        draws,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        pin_memory=pinned,
        prefetch_factor=AHEAD,
        multiprocessing_context='fork',
    )


def _rate(passed: float, warmed_up: float) -> float:
    """Share of the highest learning rate: a linear warm-up, then a cosine over the training that falls to a tenth."""
    cosine = float(torch.cos(torch.tensor(passed * torch.pi)))
    return min(1.0, warmed_up) * (0.55 + 0.45 * cosine)


def _descend(network: nn.Module, optimizer: torch.optim.Optimizer, value: Tensor, rate: float) -> Tensor:
    """One step down a scalar loss, which is given back, float64, where it is."""
    for group in optimizer.param_groups:
        group['lr'] = rate
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return value.detach().double()


def _report(network: nn.Module, average: Average, report: Callable, step: int) -> dict[str, float]:
    average.swap()
    network.eval()
    with torch.no_grad():
        figures = report(step)
    network.train()
    average.swap()
    return figures


def _log(path: Path, step: int, running: float, figures: dict[str, float]) -> None:
    row = {'step': step, 'training_loss': round(running, 6), **{k: round(v, 6) for k, v in figures.items()}}
    new = not path.exists()
    with path.open('a', newline='') as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
    tqdm.write('  '.join(f'{k} {v}' for k, v in row.items()))


def _forget_after(path: Path, step: int) -> None:
    """Takes the rows after a step off a log: those steps are taken again, and would be there twice."""
    if path.exists():
        lines = path.read_bytes().decode().splitlines(keepends=True)
        atomic_write(path, ''.join(lines[:1] + [row for row in lines[1:] if int(row.split(',')[0]) <= step]))


def _load_state(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: Average
) -> tuple[int, float, Tensor | None]:
    """Puts a saved state back, of whichever device; the steps that it had taken, their seconds and running loss."""
    state = torch.load(path, map_location='cpu', weights_only=True)
    network.load_state_dict(state['network'])
    optimizer.load_state_dict(state['optimizer'])
    for name, weight in state['average'].items():
        average.weights[name].copy_(weight)
    # trainings that began before these were kept go on
    return int(state['step']), float(state.get('seconds', 0.0)), state.get('running')


def _save_state(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: Average, taken: tuple[int, float, Tensor]
) -> None:
    state = {
        'network': network.state_dict(),
        'optimizer': optimizer.state_dict(),
        'average': average.weights,
        'step': taken[0],
        'seconds': taken[1],
        'running': taken[2],
    }
    with atomic_file(path) as file:
        torch.save(state, file)
