"""All that a GPU has to show, in nine minutes: python -m projects.benchmark.gpu OUT.

Parts run one after another, each in a process of its own and within its own time. One that fails or takes too long is
noted, and the next goes on. OUT/figures.json and OUT/table.md are written after each figure; OUT/tests.txt is pytest's.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmseg_g4seg.io.atomic import atomic_write

from .build import open_prior
from .cases import class_names, make_case
from .comparisons import COMPARISONS
from .device import device_name
from .options import BenchmarkOptions
from .run import run_benchmark
from .table import format_report
from .variants import as_dicts, format_variants, measure_variants

TESTS = ('tests/diffusion/test_cuda.py', 'tests/diffusion/test_waiting.py', 'tests/hosts/test_arrays.py')


@dataclass(frozen=True)
class Setting:
    """What all parts run with."""

    out: Path
    device: str = 'cuda'
    miniature: bool = False

    def options(self, architecture: str) -> BenchmarkOptions:
        """Of one architecture; the numbers of classes in the order of what they tell."""
        if self.miniature:
            return BenchmarkOptions('tiny', self.device, classes=[1], size=32, repeats=1, skip=[*COMPARISONS, 'joint'])
        return BenchmarkOptions(
            architecture, self.device, 'bfloat16', [4, 16, 1], passes_per_batch=16, limit_seconds=8, skip=[*COMPARISONS]
        )

    def keep(self, part: str, **found: Any) -> None:
        """Adds to what is known of a part, and writes both files anew."""
        path = self.out / 'figures.json'
        figures = json.loads(path.read_text()) if path.exists() else {}
        figures[part] = {**figures.get(part, {}), **found}
        atomic_write(path, json.dumps(figures, indent=1) + '\n')
        sections = [
            f'## {name}: {part["state"]}\n\n```\n{part.get("table", "")}\n```\n' for name, part in figures.items()
        ]
        atomic_write(self.out / 'table.md', '\n'.join(sections))


def measure_architecture(name: str, setting: Setting) -> None:
    """K classes by stage, the paper's loop, single passes."""
    report = run_benchmark(
        setting.options(name),
        progress=lambda message: print(f'{message} …', file=sys.stderr),
        keep=lambda report: setting.keep(name, table=format_report(report), figures=report.as_dict()),
    )
    setting.keep(name, table=format_report(report), figures=report.as_dict())


def measure_compiled(name: str, setting: Setting) -> None:
    """SD 2.1's pass compiled and as a CUDA graph."""
    options = setting.options('sd21')
    case = make_case(max(options.classes), options.size, device=options.device)
    names = class_names(max(options.classes))
    prior = open_prior(options.architecture, device=options.device, dtype=options.dtype, class_names=names)
    head = (
        f'{options.architecture}, {options.dtype}, {device_name(prior.device)}, {max(options.classes)} classes a pass\n'
    )

    def keep(costs: list[Any]) -> None:
        setting.keep(name, table=head + format_variants(costs), figures=as_dicts(costs))

    measure_variants(prior, case, options, keep)


def run_tests(name: str, setting: Setting) -> None:
    """The tests that need a GPU, and those that imitate one."""
    import pytest

    with (setting.out / 'tests.txt').open('w', buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        chosen = ['tests/diffusion/test_waiting.py::test_what_is_counted'] if setting.miniature else TESTS
        code = pytest.main(['-v', '--durations=10', '-p', 'no:cacheprovider', *chosen])
        sys.stdout.flush()
    lines = (setting.out / 'tests.txt').read_text().splitlines()
    failed = [line for line in lines if line.startswith(('FAILED', 'ERROR'))]
    setting.keep(name, table='\n'.join([*failed, *lines[-1:]]), figures={'exit': int(code)})
    if code:
        raise RuntimeError('see tests.txt')


PARTS: dict[str, tuple[Callable[[str, Setting], None], int]] = {
    'sd21': (measure_architecture, 110),
    'sdxl': (measure_architecture, 130),
    'tests': (run_tests, 90),
    'sd15': (measure_architecture, 80),
    # last: compiling takes a minute or three, and what is done before it is kept
    'compiled': (measure_compiled, 240),
}
"""What is run, in the order of what it tells, and the seconds that it has."""
PATIENCE = 3600.0
"""Seconds for each part in miniature."""


def run_part(name: str, setting: Setting) -> None:
    """One part in this process; an error is kept, and raised."""
    torch.set_grad_enabled(False)
    try:
        PARTS[name][0](name, setting)
    except BaseException as error:
        setting.keep(name, state=f'failed ({type(error).__name__}: {str(error)[:300]})', trace=traceback.format_exc())
        raise


def run_parts(parts: Sequence[str], setting: Setting, seconds: float) -> list[str]:
    """Runs parts one after another, and gives the names of those that did not end well."""
    # forked before CUDA begins, and after what the libraries import only when they are asked for: else each part does
    open_prior('tiny', device='cpu', dtype='float32', class_names=class_names(1))
    fork, end, failed = multiprocessing.get_context('fork'), time.monotonic() + seconds, []
    for name in parts:
        # a busy CPU may take minutes for what is there to be seen, not to be timed
        limit = PATIENCE if setting.miniature else min(PARTS[name][1], end - time.monotonic())
        setting.keep(name, state='not begun, no time was left' if limit <= 0 else 'cut off')
        if limit > 0:
            start, process = time.monotonic(), fork.Process(target=run_part, args=(name, setting))
            process.start()
            process.join(limit)
            if process.exitcode is None:
                process.kill()
                process.join()
                setting.keep(name, state=f'cut off after {limit:.0f} s')
            elif process.exitcode == 0:
                setting.keep(name, state=f'done in {time.monotonic() - start:.0f} s')
                continue
        failed.append(name)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder for what is found')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--seconds', type=float, default=520.0, help='for all parts')
    parser.add_argument('--miniature', action='store_true', help='the same on the CPU, tiny')
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'figures.json').unlink(missing_ok=True)
    setting = Setting(args.out, 'cpu' if args.miniature else 'cuda', args.miniature)
    failed = run_parts(args.parts, setting, args.seconds)
    print((args.out / 'table.md').read_text())
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
