"""The ways to refine one image that a benchmark compares, each timed, counted and weighed alike."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.ops.clock import seconds_on
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner

from .cases import PROMPT, Case
from .device import peak_memory
from .flops import counted_flops
from .metered_prior import MeteredPrior
from .options import BenchmarkOptions
from .paper_loop import PaperLoop
from .repeats import Timed, by_turns, median_run
from .results import PathCost, PathPair
from .stages import MeteredFeatures, MeteredUpdate, StageMeter, Stages

Refine = Callable[[], Prediction]


class PathBench:
    """Measures paths on one prior."""

    def __init__(self, prior: LatentPrior, features: FeatureExtractor, options: BenchmarkOptions) -> None:
        self.stages, self.options = Stages(), options
        self.prior, self.features = MeteredPrior(prior, self.stages), MeteredFeatures(features, self.stages)
        self.clock = partial(seconds_on, prior.device)

    def paths(self, case: Case) -> dict[str, Refine]:
        """The ways to refine a case, by name, `batched` first."""
        paths = {'batched': self._refiner(case, joint=False)}
        if 'joint' not in self.options.skip:
            paths['joint'] = self._refiner(case, joint=True)
        if 'loop' not in self.options.skip:
            loop = PaperLoop(self.prior, self.features, self.options)
            paths['loop'] = lambda: loop(case)
        return paths

    def _refiner(self, case: Case, *, joint: bool) -> Refine:
        refiner = G4SegRefiner(
            self.prior,
            update=MeteredUpdate(self.stages, features=self.features, joint=joint),
            image_size=self.options.size,
            prompt_template=PROMPT,
            seed=self.options.seed,
            passes_per_batch=self.options.passes_per_batch,
        )
        return lambda: refiner.refine(case.image, case.prediction, case.class_names, key=0)

    def measure(self, case: Case) -> tuple[list[PathCost], list[PathPair]]:
        """Costs of every path on a case, and how the others compare with `batched`."""
        paths = self.paths(case)
        refined = {name: path() for name, path in paths.items()}  # warms up
        accounts = {name: self._account(path) for name, path in paths.items()}
        timed = by_turns(
            {name: self._timer(path) for name, path in paths.items()},
            repeats=self.options.repeats,
            limit_seconds=self.options.limit_seconds,
        )
        classes = len(case.class_names) - 1
        costs = {
            name: PathCost(name, classes, len(runs), median_run(runs).detail, **accounts[name])
            for name, runs in timed.items()
        }
        pairs = [
            compare_paths(costs['batched'], cost, case.prediction, refined['batched'], refined[name])
            for name, cost in costs.items()
            if name != 'batched'
        ]
        return list(costs.values()), pairs

    def _account(self, path: Refine) -> dict[str, Any]:
        """FLOPs by stage and memory of one run, which is not timed."""
        with peak_memory(self.prior.device) as memory, counted_flops() as counter:
            meter = StageMeter(counter.get_total_flops)
            with self.stages.counted(meter):
                path()
        return {'flops': meter.amounts, 'peak_bytes': memory.peak, 'held_bytes': memory.before}

    def _timer(self, path: Refine) -> Callable[[], Timed[dict[str, float]]]:
        def run() -> Timed[dict[str, float]]:
            meter = StageMeter(self.clock)
            with self.stages.counted(meter):
                path()
            return Timed(meter.total, meter.amounts)

        return run


def compare_paths(
    batched: PathCost, other: PathCost, coarse: Prediction, refined: Prediction, by_other: Prediction
) -> PathPair:
    """Compares times and results of two paths on one case."""
    return PathPair(
        path=other.path,
        classes=other.classes,
        speedup=other.total_seconds / batched.total_seconds,
        speedup_without_decoding=without_decoding(other) / without_decoding(batched),
        equal_labels=_share(refined.label_map == by_other.label_map),
        changed_labels=_share(refined.label_map != coarse.label_map),
        largest_difference=float((refined.probs - by_other.probs).abs().max()),
    )


def without_decoding(cost: PathCost) -> float:
    """Seconds of an image, those of decoding latents left out."""
    return cost.total_seconds - cost.seconds['decode']


def _share(holds: torch.Tensor) -> float:
    return float(holds.double().mean())


def total_parameters(networks: Sequence[torch.nn.Module]) -> int:
    """Counts the weights of networks."""
    return sum(weight.numel() for network in networks for weight in network.parameters())
