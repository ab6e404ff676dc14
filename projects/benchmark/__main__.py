"""Measures what refining costs: time and FLOPs by stage, memory, beside the paper's loop and other refiners.

    python -m projects.benchmark sd21 --device cuda --dtype bfloat16
    python -m projects.benchmark sdxl --device cuda --dtype bfloat16 --features open_clip --json sdxl.json
    python -m projects.benchmark tiny --size 128 --classes 1 4

The architectures are built at full size with random weights: nothing is downloaded, and no weights count
for time. `tiny` (the embedded prior) and folders in diffusers layout have their own.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

from mmseg_g4seg.diffusion.loading import DtypeName
from mmseg_g4seg.io.atomic import atomic_write
from projects.benchmark.build import ARCHITECTURES
from projects.benchmark.features import FeatureKind
from projects.benchmark.options import PARTS, BenchmarkOptions
from projects.benchmark.run import run_benchmark
from projects.benchmark.table import format_report


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ', '.join(ARCHITECTURES)
    parser.add_argument('architecture', help=f"{names}, tiny, or a prior's folder")
    parser.add_argument('--device', default='cpu', help="'cpu', 'cuda' or 'cuda:N'")
    parser.add_argument('--dtype', choices=get_args(DtypeName), default='float32', help='of the prior')
    parser.add_argument('--classes', type=int, nargs='+', default=[1, 4, 16], metavar='K', help='classes an image')
    parser.add_argument('--size', type=int, default=512, help='side of the image, pixels')
    parser.add_argument('--repeats', type=int, default=5, help='timed runs of each thing')
    parser.add_argument('--features', choices=get_args(FeatureKind), default='denoiser', help='that are matched')
    parser.add_argument(
        '--passes-per-batch', type=int, default=BenchmarkOptions.passes_per_batch, help='classes a pass of the denoiser'
    )
    parser.add_argument('--skip', nargs='+', choices=PARTS, default=[], help='leave these out')
    parser.add_argument(
        '--limit-seconds', type=float, default=60.0, help='what has run that long is not repeated any more'
    )
    parser.add_argument('--seed', type=int, default=0, help='of image, weights and noise')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write every figure there, too')
    return parser


def main() -> int:
    parser = build_parser()
    options = vars(parser.parse_args())
    json_file: Path | None = options.pop('json')
    if json_file is not None and not json_file.absolute().parent.is_dir():
        parser.error(f'--json: there is no folder {json_file.parent}')
    try:
        report = run_benchmark(
            BenchmarkOptions(**options), progress=lambda message: print(f'{message} …', file=sys.stderr)
        )
    except (ValueError, ImportError) as error:
        parser.error(str(error))
    print(format_report(report))
    if json_file is not None:
        atomic_write(json_file, json.dumps(report.as_dict(), indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
