"""Measures what one large mask of many classes takes at its peak: reading, refining, writing, each refiner afresh.

    OMP_NUM_THREADS=1 python -m projects.benchmark.large_images none g4seg crf pamr --height 4096 --width 4096

A mask has `--present` of `--classes` classes. Peaks are above what the process took with the refiner loaded, and over
the size of the present classes' scores in float32. `--format all` stores scores of all classes.

Shapes: K classes present, H W image size.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from mmseg_g4seg.hosts.folder.refine import MaskWorker
from mmseg_g4seg.hosts.folder.run import begin
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.io.formats import Reading
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.registry import register
from projects.benchmark.device import peak_memory

CPU = torch.device('cpu')
GRID = 16
"""Side of the random grid that scores and colours are enlarged from: regions, as images have."""
LEAST = 1e-4
"""Probability of a class that is not there, where all are stored."""


@register
class Unchanged(Refiner):
    """Does nothing: what is left is reading and writing."""

    name = 'none'

    def refine_batch(self, images: Any, predictions: Any, classes: Any, *, keys: Any = None) -> list[Prediction]:
        return list(predictions)


def refiner_config(name: str, *, image_size: int, iterations: int) -> dict[str, Any]:
    """The config of one of `none`, `g4seg`, `likelihood`, `crf`, `pamr` and `chain` (PAMR, then dense CRF)."""
    likelihood = dict(type='LikelihoodUpdate', timesteps=[300], uncertain_below=0.9)
    g4seg = dict(type='G4SegRefiner', prior='tiny', image_size=image_size, passes_per_batch=4)
    crf = dict(type='DenseCRFRefiner', iterations=iterations)
    pamr = dict(type='PAMRRefiner', iterations=iterations)
    configs: dict[str, dict[str, Any]] = {
        'none': dict(type='Unchanged'),
        'g4seg': g4seg,
        'likelihood': dict(g4seg, update=likelihood),
        'crf': crf,
        'pamr': pamr,
        'chain': dict(type='SequentialRefiner', refiners=[pamr, crf]),
    }
    return configs[name]


def write_case(root: Path, args: argparse.Namespace) -> None:
    """Writes an image and its mask, plane by plane, below `root`."""
    size, generator = (args.height, args.width), torch.Generator().manual_seed(0)
    low = torch.rand(1, 3 + args.present, GRID, GRID, generator=generator)
    colours, scores = low[:, :3], (8 * low[0, 3:]).softmax(dim=0)
    for folder in ('images', 'masks'):
        (root / folder).mkdir()
    pixels = F.interpolate(colours, size, mode='bilinear')[0].mul_(230)
    noisy = pixels.add_(torch.randn(size, generator=generator), alpha=4).clamp_(0, 255).byte()
    Image.fromarray(noisy.permute(1, 2, 0).contiguous().numpy()).save(root / 'images' / 'a.png', compress_level=1)
    present = np.linspace(0, args.classes - 1, args.present).astype(int)
    everything = args.format == 'all'
    held = np.arange(args.classes) if everything else present
    file = root / 'masks' / f'a.{"npy" if everything else "planes"}'
    planes = np.lib.format.open_memmap(file, 'w+', np.float16, (len(held), *size))
    best, labels = torch.full(size, -1.0), torch.zeros(size, dtype=torch.uint8)
    for plane, c in zip(planes, held, strict=True):
        rows = np.flatnonzero(present == c)
        if len(rows):
            grown = F.interpolate(scores[None, rows], size, mode='bilinear')[0, 0]
            labels[grown > best], best = int(c), torch.maximum(best, grown)
            grown *= 1 - LEAST * (args.classes - args.present) * everything
        plane[...] = grown.numpy() if len(rows) else LEAST
    if args.format == 'index-png':
        Image.fromarray(labels.numpy()).save(root / 'masks' / 'a.png')
    if args.format == 'npz':
        np.savez(root / 'masks' / 'a.npz', classes=present.astype(np.int16), probs=planes)
    if not everything:
        file.unlink()


def measure(root: Path, args: argparse.Namespace, name: str) -> dict[str, float]:
    """Refines the mask below `root` in this process: bytes above the start at the peak of each stage, and seconds."""
    classes = ClassList([f'thing {c}' for c in range(args.classes)], background=None)
    reading = Reading('npy' if args.format == 'all' else args.format, present_only=args.present_only)
    out_format = 'npz' if args.format == 'all' else None
    config = refiner_config(name, image_size=args.image_size, iterations=args.iterations)
    inputs, out = (root / 'images', root / 'masks'), root / f'out_{name}'
    task = FolderTask(inputs[0], inputs[1], out, config, classes, reading, output_format=out_format)
    plan, state = begin(task)
    worker = MaskWorker(task, state)
    refiner = worker.refiner  # built, so that it counts before the start
    figures: dict[str, float] = {}
    with peak_memory(CPU) as memory:
        start = memory.before or 0
    places: list[tuple[Any, str, str]] = [
        (worker, 'read', 'read'),
        (refiner, 'refine_stages', 'refine'),
        (worker.writer, 'encode', 'write'),
    ]
    for owner, method, stage in places:
        setattr(owner, method, _watched(getattr(owner, method), stage, figures, start))
    error = worker(plan.jobs[0])
    if error is not None:
        raise error
    return figures


def _watched(call: Callable[..., Any], stage: str, figures: dict[str, float], start: int) -> Callable[..., Any]:
    """A call that notes its peak above `start`, in bytes, and its seconds."""

    def run(*arguments: Any, **options: Any) -> Any:
        began = perf_counter()
        with peak_memory(CPU) as memory:
            result = call(*arguments, **options)
        figures[stage] = (memory.peak or 0) - start
        figures[f'{stage}_seconds'] = round(perf_counter() - began, 1)
        return result

    return run


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('refiners', nargs='+', help=refiner_config.__doc__)
    parser.add_argument('--height', type=int, default=4096)
    parser.add_argument('--width', type=int, default=4096)
    parser.add_argument('--classes', type=int, default=150)
    parser.add_argument('--present', type=int, default=20)
    parser.add_argument('--format', choices=['npz', 'index-png', 'all'], default='npz')
    parser.add_argument('--present-only', action='store_true', help='as of refine-masks')
    parser.add_argument('--image-size', type=int, default=64, help='that G4Seg sees')
    parser.add_argument('--iterations', type=int, default=10, help='of dense CRF and PAMR')
    parser.add_argument('--case', type=Path, help=argparse.SUPPRESS)  # a process of its own measures it
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Prints a line a refiner; returns its figures by name."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = parse_args(given)
    if args.case is not None:
        print(json.dumps(measure(args.case, args, args.refiners[0])))
        return {}
    own = 4 * args.present * args.height * args.width
    print(f'{args.present} of {args.classes} classes at {args.height} x {args.width}: {own / 1e9:.3f} GB in float32')
    options, found = [word for word in given if word not in args.refiners], {}
    with tempfile.TemporaryDirectory() as folder:
        write_case(Path(folder), args)
        for name in args.refiners:
            command = [sys.executable, '-m', 'projects.benchmark.large_images', name, *options, '--case', folder]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            figures = found[name] = json.loads(output.splitlines()[-1])
            stages = (f'{s} {figures[s] / 1e9:.2f} GB ({figures[s] / own:.1f} x)' for s in ('read', 'refine', 'write'))
            print(f'{name:10}', *stages, f'{figures["refine_seconds"]:.0f} s', sep='  ', flush=True)
    return found


if __name__ == '__main__':
    main()
