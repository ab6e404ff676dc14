"""Seconds of a way of reading CLIP's patches beside CLIP's own forward pass, on the same windows.

    OMP_NUM_THREADS=1 python -m projects.benchmark.clip_methods sclip naclip clearclip

Weights are random. The runs go by turns; ratios are of neighbouring runs, their median counts. On a CPU seconds are the
process's own, which with OMP_NUM_THREADS=1 is what the clock of an idle machine shows.

Shapes: B windows, H W their size.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch

from mmseg_g4seg.coarse.clip.base import encode_patches
from mmseg_g4seg.coarse.clip.segmentor import build_method
from mmseg_g4seg.ops.clock import seconds_on

from .device import device_name


def time_method(method: str, visual: Any, *, windows: int, repeats: int, device: torch.device) -> tuple[float, float]:
    """Times a method and the encoder's own forward pass.

    Args:
        method: its name.
        visual: open_clip's image encoder.
        windows: B of one call, at the encoder's own size.
        repeats: pairs of runs.
        device: to run on.

    Returns:
        Median seconds of the encoder's own pass, and the median ratio of the method's to it.
    """
    rule = build_method(method)
    images = torch.rand(windows, 3, *visual.image_size, device=device)
    plain, ratios = [], []
    for i in range(repeats + 1):
        own = _seconds(lambda: visual(images), device)
        read = _seconds(lambda: encode_patches(visual, images, rule), device)
        if i:  # the first warms up
            plain.append(own)
            ratios.append(read / own)
    return median(plain), median(ratios)


@torch.no_grad()
def _seconds(run: Callable[[], object], device: torch.device) -> float:
    now = time.process_time if device.type == 'cpu' else partial(seconds_on, device)
    start = now()
    run()
    return now() - start


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('methods', nargs='+')
    parser.add_argument('--model', default='ViT-B-16-quickgelu')
    parser.add_argument('--windows', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--device', type=torch.device, default=torch.device('cpu'))
    args = parser.parse_args(arguments)
    import open_clip

    # not by the package's loader, which insists on weights
    visual = open_clip.create_model(args.model, pretrained=None).visual.eval().to(args.device)
    print(f'{args.model} on {device_name(args.device)}, {args.windows} windows of {visual.image_size[0]}')
    for method in args.methods:
        seconds, ratio = time_method(method, visual, windows=args.windows, repeats=args.repeats, device=args.device)
        print(f'{method}: {ratio:.3f} of the plain forward pass, which takes {seconds:.3f} s')


if __name__ == '__main__':
    main()
