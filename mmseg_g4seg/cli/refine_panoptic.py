"""Refines saved panoptic predictions in COCO's format, as Detectron2's COCOPanopticEvaluator writes them.

    g4seg refine-panoptic --images IMAGES --panoptic PNGS --json predictions.json --out OUT
    g4seg refine-panoptic ... --refiner mmseg_g4seg::_base_/refiners/g4seg_sd21.py --device cuda \\
        --labels TRUE_PNGS --labels-json panoptic_val.json

OUT/predictions and OUT/predictions.json are in the same format. With --labels the table, OUT/metrics.json and
OUT/report.html show PQ, SQ and RQ before and after. After a kill the same command resumes the run. A file that cannot
be read is listed in OUT/report.json; the run continues, and the exit code is 1 at the end.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmseg_g4seg.hosts.arrays import read_refiner_config
from mmseg_g4seg.hosts.coco_panoptic import SavedPanoptic, refine_saved_panoptic
from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

from .interrupt import interruptible


@interruptible('the same command goes on where it stopped')
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool with the given arguments, the command line's by default; returns the exit code."""
    args = parse_args(arguments)
    try:
        task = SavedPanoptic(
            images=args.images,
            panoptic=args.panoptic,
            json_file=args.json,
            refiner=read_refiner_config(args.refiner),
            out=args.out,
            labels=args.labels,
            labels_json=args.labels_json,
            soften=args.soften,
            device=args.device,
        )
        report = refine_saved_panoptic(task, workers=args.workers, overwrite=args.overwrite)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if report:
        print(report['table'])
    return 1 if report.get('errors') else 0


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=Path, required=True, help='folder of images')
    parser.add_argument('--panoptic', type=Path, required=True, help='folder of the predicted PNGs')
    parser.add_argument('--json', type=Path, required=True, help='JSON of the predictions')
    parser.add_argument('--refiner', default='tiny', help="'tiny' (default), a config file, or the folder of a prior")
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--labels', type=Path, help='folder of the true PNGs, for PQ before and after')
    parser.add_argument('--labels-json', type=Path, help='JSON of the truth')
    parser.add_argument(
        '--soften',
        type=float,
        default=SEGMENT_BORDER,
        help='width of the blur at the borders of segments, as a share of the longer side',
    )
    parser.add_argument('--workers', type=int, default=1, help='number of processes; not under torchrun')
    parser.add_argument('--device', default='cpu', help="'cuda' for a GPU; under torchrun, one GPU per process")
    parser.add_argument('--overwrite', action='store_true', help='start again from the first image')
    return parser


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line; ends the process where it is wrong."""
    return build_parser().parse_args(arguments)
