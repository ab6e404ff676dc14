"""One training loop for both networks: progress bar, CSV log, exponential average, resumption."""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from mmseg_g4seg.io.atomic import atomic_file


class Average:
    """Exponential moving average of a network's weights, with the usual warm-up."""

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        self.network, self.decay = network, decay
        self.weights = {name: w.detach().clone() for name, w in network.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, weight in self.network.state_dict().items():
            if weight.is_floating_point():
                self.weights[name].lerp_(weight, 1 - decay)
            else:
                self.weights[name].copy_(weight)

    def swap(self) -> None:
        """Exchanges the network's weights and the averages."""
        current = {name: w.detach().clone() for name, w in self.network.state_dict().items()}
        self.network.load_state_dict(self.weights)
        self.weights = current


def train(
    network: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    *,
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
        loss: draws a batch from the generator and returns its scalar loss.
        steps: how many steps in all; the learning rate falls to a tenth along a cosine.
        learning_rate: AdamW's highest.
        folder: where `NAME_state.pt` and `NAME_log.csv` go.
        name: of this stage.
        report: called with the step on averaged weights; its figures go to the log.
        report_every: steps between reports.
        save_every: steps between saved states.
        warm_up: steps of linear warm-up.
        max_minutes: stop after this long, as if `steps` were reached.
        seed: of the draws; step i draws from the generator seeded by (seed, i).
    """
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, betas=(0.9, 0.99), weight_decay=1e-2)
    average = Average(network)
    state_path, log_path = folder / f'{name}_state.pt', folder / f'{name}_log.csv'
    first = _load_state(state_path, network, optimizer, average) if state_path.exists() else 0
    deadline = time.monotonic() + 60 * max_minutes
    network.train()
    bar = tqdm(range(first, steps), name, initial=first, total=steps, mininterval=5)
    running: float | None = None
    for step in bar:
        for group in optimizer.param_groups:
            group['lr'] = learning_rate * _rate(step, steps, warm_up)
        current = _descend(network, optimizer, loss(torch.Generator().manual_seed(seed * 1_000_003 + step)))
        average.update(step)
        running = current if running is None else 0.98 * running + 0.02 * current
        bar.set_postfix(loss=f'{running:.4f}', refresh=False)
        last = step + 1 == steps or time.monotonic() > deadline
        if (step + 1) % report_every == 0 or last:
            _log(log_path, step + 1, running, _report(network, average, report, step + 1))
        if (step + 1) % save_every == 0 or last:
            _save_state(state_path, network, optimizer, average, step + 1)
        if last:
            break
    average.swap()
    network.eval()


def _rate(step: int, steps: int, warm_up: int) -> float:
    """Share of the highest learning rate: a linear warm-up, then a cosine that falls to a tenth."""
    cosine = float(torch.cos(torch.tensor(step / steps * torch.pi)))
    return min(1.0, (step + 1) / warm_up) * (0.55 + 0.45 * cosine)


def _descend(network: nn.Module, optimizer: torch.optim.Optimizer, value: Tensor) -> float:
    """One step down a scalar loss; gives it back as a number."""
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return value.item()


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


def _load_state(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: Average) -> int:
    """Puts a saved state back; the number of steps that it had taken."""
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state['network'])
    optimizer.load_state_dict(state['optimizer'])
    average.weights = state['average']
    return int(state['step'])


def _save_state(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: Average, step: int) -> None:
    state = {
        'network': network.state_dict(),
        'optimizer': optimizer.state_dict(),
        'average': average.weights,
        'step': step,
    }
    with atomic_file(path) as file:
        torch.save(state, file)
