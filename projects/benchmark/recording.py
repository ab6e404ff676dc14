"""Measures what reading attention costs: a plain pass against one that SeeDiff records, and the growing after it.

    OMP_NUM_THREADS=1 python -m projects.benchmark.recording sd15 --size 512

Weights are random, nothing is downloaded. Passes are taken by turns; memory is the process's, weights included.
Shapes: c latent channels, h w latent grid, N tokens of the finest level.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from mmseg_g4seg.coarse import SeeDiff
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps, recorded_attention
from mmseg_g4seg.ops.seeded_growth import seeded_growth, suppress_background
from projects.benchmark.build import open_prior
from projects.benchmark.device import Memory, device_name, peak_memory

NAME = 'hot air balloon'
GROWTHS = 9
CPU = torch.device('cpu')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('architecture', help='see projects.benchmark')
    parser.add_argument('--size', type=int, default=512, help='side of the picture, pixels')
    parser.add_argument('--repeats', type=int, default=2, help='passes of each kind, after one of each that warms up')
    return parser.parse_args()


@torch.no_grad()
def measure(architecture: str, size: int, repeats: int) -> dict[str, float]:
    """Measures one architecture on the CPU.

    Args:
        architecture: of `ARCHITECTURES`, `tiny`, or a folder.
        size: side of the picture, pixels.
        repeats: of each kind of pass.

    Returns:
        Seconds (`plain_s`, `recorded_s`, medians), megabytes: `weights_mb` before a pass, peaks of passes, and
        milliseconds for the `expansion` at the finest level and the whole `growth`. Times are the process's own, which
        with one thread is what the clock of an idle machine shows.
    """
    prior = open_prior(architecture, device=CPU, dtype='float32', class_names=[NAME])
    source = SeeDiff(prior, image_size=size)
    noisy = torch.randn(1, prior.vae.config.latent_channels, *[size // prior.latent_stride] * 2)
    prompts = prior.encode_prompts([[NAME]], 'a photo of {name}')

    def run(maps: AttentionMaps | None) -> tuple[float, Memory]:
        start = time.process_time()
        with peak_memory(CPU) as memory, nullcontext() if maps is None else recorded_attention(maps):
            prior.denoise(noisy, 100, prompts)
        return time.process_time() - start, memory

    def empty() -> AttentionMaps:
        return AttentionMaps(noisy.shape[-2:], cross_layers=source.cross_layers, self_layers=source.self_layers)

    plain, recorded, maps = [run(None)], [run(empty())], empty()
    for _ in range(repeats):
        plain.append(run(None))
        maps = empty()
        recorded.append(run(maps))
    figures = {
        'weights_mb': _megabytes(plain[1][1].before),
        'plain_mb': max(_megabytes(memory.peak) for _, memory in plain[1:]),
        'recorded_mb': max(_megabytes(memory.peak) for _, memory in recorded[1:]),
        'plain_s': statistics.median(seconds for seconds, _ in plain[1:]),
        'recorded_s': statistics.median(seconds for seconds, _ in recorded[1:]),
    }
    return figures | measure_growth(source, maps, prompts.token_masks[0, 0].nonzero()[:, 0])


def measure_growth(source: SeeDiff, maps: AttentionMaps, tokens: Tensor) -> dict[str, float]:
    """Times the expansion at the finest level and the whole growth, in ms: maps of one image, tokens (K,) of a name."""
    finest = source.levels[-1]
    grid, attention = maps.grid(finest), maps.self_attention(finest)  # (N, N)
    coarse = maps.cross(source.levels[0])[:, tokens].flatten(0, 1)
    levels = {maps.grid(level)[0]: maps.self_attention(level) for level in source.levels}
    probs = torch.rand(grid)
    return {
        'tokens': len(attention),
        'expansion_ms': _median_ms(lambda: suppress_background(probs, attention)),
        'growth_ms': _median_ms(lambda: seeded_growth(coarse, levels, 1e-4 / 64)),
    }


def _median_ms(call: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(GROWTHS):
        # not the clock: on a machine that others use it showed 374 ms for 15
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return 1000 * statistics.median(seconds)


def _megabytes(size: int | None) -> float:
    return float('nan') if size is None else size / 1e6


def main() -> None:
    args = parse_args()
    figures = measure(args.architecture, args.size, args.repeats)
    print(f'{args.architecture} at {args.size}, float32, {device_name(CPU)}')
    for name, value in figures.items():
        print(f'{name:14} {value:.3f}' if value < 1 else f'{name:14} {value:.1f}')
    ratio = figures['recorded_mb'] / figures['plain_mb']
    above = (figures['recorded_mb'] - figures['weights_mb']) / (figures['plain_mb'] - figures['weights_mb'])
    print(f'peak memory    {ratio:.3f} x the plain pass, without the weights {above:.2f} x')
    print(f'time           {figures["recorded_s"] / figures["plain_s"]:.2f} x')


if __name__ == '__main__':
    main()
