"""Runs a whole benchmark."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.ops.clock import seconds_on

from .build import ARCHITECTURES, build_prior, open_prior
from .cases import Case, class_names, make_case
from .comparisons import COMPARISONS
from .device import device_name, matrix_rate, memory_source
from .features import build_random_features
from .options import BenchmarkOptions
from .passes import PassBench
from .paths import PathBench, total_parameters
from .repeats import Timed, by_turns, median_run
from .results import ComparisonCost, Report

ALWAYS_FITTING = 64
"""Image sides that are multiples of this fit every architecture."""


def run_benchmark(
    options: BenchmarkOptions,
    *,
    progress: Callable[[str], None] = lambda _: None,
    keep: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Measures everything that the options do not skip.

    Args:
        options: what to measure, and where.
        progress: is told what is being measured.
        keep: is given the report so far after each number of classes, in case that the rest is cut off.

    Raises:
        ValueError: if the architecture is not known, or cannot take the size.
        ImportError: if the library of the features is missing.
    """
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    names = class_names(max(options.classes))
    if options.size % ALWAYS_FITTING and options.architecture in ARCHITECTURES:
        # without weights, which would take minutes before the size is looked at
        draft = build_prior(options.architecture, device='meta', dtype=options.dtype, class_names=names)
        draft.check_image_size((options.size, options.size))
    progress(f'builds {options.architecture}')
    prior = open_prior(options.architecture, device=device, dtype=options.dtype, class_names=names)
    prior.check_image_size((options.size, options.size))
    features = build_random_features(options.features, device)
    progress('measures the rate of matrix products')
    report = Report(_setting(options, device), matrix_rate(device, prior.dtype), _parameters(prior))
    paths, passes = PathBench(prior, features, options), PassBench(prior, options)
    for count in options.classes:
        case = make_case(count, options.size, device=device, seed=options.seed)
        progress(f'{count} classes: refines')
        costs, pairs = paths.measure(case)
        report.paths += costs
        report.pairs += pairs
        report.text.append(passes.text(case))
        if 'injection' not in options.skip:
            progress(f'{count} classes: single passes')
            report.injection.append(passes.injection(case))
        for name in COMPARISONS:
            if name not in options.skip:
                progress(f'{count} classes: {name}')
                report.comparisons.append(measure_comparison(name, case, options, report.comparisons))
        keep(report)
    # again: other work on the machine may have slowed the first
    return replace(report, matrix_rate=max(report.matrix_rate, matrix_rate(device, prior.dtype)))


def measure_comparison(
    name: str, case: Case, options: BenchmarkOptions, earlier: Sequence[ComparisonCost] = ()
) -> ComparisonCost:
    """Times another refiner on a case, or says why not: something is missing, or fewer classes took too long."""
    device = torch.device(options.device)
    clock, classes = partial(seconds_on, device), len(case.class_names) - 1
    slow = [cost for cost in earlier if cost.name == name and (cost.seconds or 0) > options.limit_seconds]
    if slow:
        return ComparisonCost(name, classes, missing=f'over the limit at K = {slow[0].classes}')
    try:
        refiner = COMPARISONS[name](device)
    except ImportError as error:
        return ComparisonCost(name, classes, missing=str(error))

    def run() -> Timed[None]:
        start = clock()
        refiner.refine(case.image, case.prediction, case.class_names)
        return Timed(clock() - start, None)

    first = run()
    if first.seconds > options.limit_seconds:  # warming up is lost in it
        return ComparisonCost(name, classes, 1, first.seconds)
    runs = by_turns({name: run}, repeats=options.repeats, limit_seconds=options.limit_seconds)[name]
    return ComparisonCost(name, classes, len(runs), median_run(runs).seconds)


def _parameters(prior: LatentPrior) -> dict[str, int]:
    vae, denoiser, *text_encoders = prior.networks
    return {
        'autoencoder': total_parameters([vae]),
        'denoiser': total_parameters([denoiser]),
        'text': total_parameters(text_encoders),
    }


def _setting(options: BenchmarkOptions, device: torch.device) -> dict[str, Any]:
    return {
        **asdict(options),
        'device_name': device_name(device),
        'torch': torch.__version__,
        'memory': memory_source(device),
        'load_average': round(os.getloadavg()[0], 2),
    }
