"""Draws what a refinement does to one image, as the paper's figures do: masks, correspondences, reconstructions.

    g4seg figure regions --out regions.png                                   # of a scene in the package
    g4seg figure masks IMAGE MASK --classes classes.txt --out masks.png
    g4seg figure correspondence IMAGE MASK --classes sky,tree --point 40,60 --out points.png
    g4seg figure layouts IMAGE SCORES --format npz --classes classes.txt --truth TRUTH --out layouts.png

masks            coarse mask, the mask after each refiner, truth (Fig. 3, 10-12)
correspondence   points of the reconstruction, their matches in the image, maps of similarity (Fig. 6)
regions          over- and under-segmented regions of a class, a point of each and its match (Fig. 7-8)
timesteps        reconstructions from several noise levels (Fig. 9)
layouts          reconstruction under the coarse mask and under the true one; needs --truth
inversion        reconstruction in one step, and by null-text inversion (Fig. 5)
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from mmseg_g4seg.evaluation.figures import FIGURES, Options, Subject
from mmseg_g4seg.hosts.arrays import load_refiner, read_refiner_config
from mmseg_g4seg.hosts.web.scenes import SCENES
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.formats import LABELS, SCORES, build_format, label_format
from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.io.mask_files import make_prediction
from mmseg_g4seg.ops.masks import BORDER_WIDTH
from mmseg_g4seg.prediction import ClassList

from .interrupt import interruptible

KINDS = {'.png': 'PNG', '.jpg': 'JPEG', '.jpeg': 'JPEG', '.webp': 'WEBP'}


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=FIGURES, metavar='NAME', help=f'one of {", ".join(FIGURES)}')
    parser.add_argument('image', type=Path, nargs='?', help='default: the image of --scene, with its mask and truth')
    parser.add_argument('mask', type=Path, nargs='?', help='the coarse mask')
    parser.add_argument('--out', type=Path, required=True, help='file to write: PNG, JPEG or WebP, by its ending')
    parser.add_argument(
        '--scene',
        choices=[s.name for s in SCENES],
        default=SCENES[0].name,
        help='scene of the package, for a figure without IMAGE',
    )
    parser.add_argument('--classes', help='file of class names, one per line, or the names with commas between')
    parser.add_argument('--background', help="class that is never refined; default: the one called 'background'")
    parser.add_argument('--palette', type=Path, help="file of colours, one 'R G B' per line")
    parser.add_argument('--format', choices=[*LABELS, *SCORES], default='index-png', help='format of the mask')
    parser.add_argument('--any-size', action='store_true', help='accept scores of another size than the image')
    parser.add_argument('--truth', type=Path, help='true labels, an index PNG')
    parser.add_argument('--refiner', default='tiny', help="'tiny' (default), a config file, or the folder of a prior")
    parser.add_argument('--device', default='cpu', help="'cuda' for a GPU")
    parser.add_argument(
        '--class', dest='class_name', help='class that regions shows, or that correspondence injects alone'
    )
    parser.add_argument(
        '--point',
        type=_point,
        action='append',
        default=[],
        metavar='ROW,COLUMN',
        help='point to match; may be given several times',
    )
    parser.add_argument('--timesteps', type=int, nargs='+', default=Options.timesteps, help='of the figure timesteps')
    parser.add_argument('--steps', type=int, default=Options.steps, help='sampler steps of null-text inversion')
    parser.add_argument(
        '--guidance', type=float, default=Options.guidance, help='guidance of null-text inversion; 1 is none'
    )
    return parser


@interruptible()
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with the given arguments, the command line's by default; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.image is None:
        _take_scene(args)
    elif args.mask is None or args.classes is None:
        parser.error('MASK and --classes are needed beside IMAGE')
    try:
        draw(args)
    except (OSError, ValueError, RuntimeError, ArithmeticError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(args.out)
    return 0


def draw(args: argparse.Namespace) -> None:
    """Draws the figure that the arguments ask for.

    Raises:
        OSError: if a file is missing, or cannot be written.
        ValueError: if a file or an argument does not fit.
    """
    kind = KINDS.get(args.out.suffix.lower())
    if kind is None:
        raise ValueError(f'--out: expected a file that ends with one of {", ".join(KINDS)}, got {args.out}')
    named = read_classes(args.classes, background=args.background, palette=args.palette)
    classes = named.with_options(read_refiner_config(args.refiner).get('classes') or {})
    options = Options(args.point, _class_index(args.class_name, named), args.timesteps, args.steps, args.guidance)
    with _named(args.image):
        image = read_image(args.image)
    size = (image.shape[1], image.shape[2])
    with _named(args.mask):
        alone = label_format(args.mask, named) if args.format == 'index-png' else build_format(args.format, named)
        mask = alone.read(args.mask)
        coarse = make_prediction(mask, size, len(named), soften=BORDER_WIDTH, any_size=args.any_size, classes=classes)
    truth = None
    if args.truth is not None:
        with _named(args.truth):
            truth = label_format(args.truth, named).read(args.truth).label_map
            assert truth is not None, 'PNGs hold labels'
            if tuple(truth.shape) != size:
                raise ValueError(f'expected labels {size} as the image has, got {tuple(truth.shape)}')
    refiner = load_refiner(args.refiner, device=args.device).refiner
    picture = FIGURES[args.name](refiner, Subject(image, coarse, classes, args.image.name, truth), options)
    file = BytesIO()
    Image.fromarray(picture).save(file, kind)
    atomic_write(args.out, file.getvalue())


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error


def _take_scene(args: argparse.Namespace) -> None:
    scene = next(scene for scene in SCENES if scene.name == args.scene)
    args.image, args.mask, args.truth = scene.picture, scene.scores, scene.truth
    args.classes, args.format, args.any_size = scene.names, 'npz', True


def _class_index(name: str | None, classes: ClassList) -> int | None:
    if name is None:
        return None
    if name not in classes.labels:
        raise ValueError(f'--class: expected one of {classes.labels}, got {name!r}')
    return classes.labels.index(name)


def _point(text: str) -> tuple[int, int]:
    row, _, column = text.partition(',')
    try:
        return int(row), int(column)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'expected ROW,COLUMN, got {text!r}') from error
