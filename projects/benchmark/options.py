"""What a benchmark is asked for, checked before anything is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch

from mmseg_g4seg.diffusion.batching import CPU_BATCH
from mmseg_g4seg.diffusion.loading import DtypeName

from .comparisons import COMPARISONS
from .features import FeatureKind

PARTS = ('joint', 'loop', 'injection', *COMPARISONS)
"""What a benchmark may leave out."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of a benchmark.

    Attributes:
        architecture: one of `ARCHITECTURES`, `tiny`, or a folder in diffusers layout.
        device: `cpu`, `cuda` or `cuda:N`.
        dtype: of the prior.
        classes: K, one table block each.
        size: side of the image, which is the prior's image size, too.
        repeats: timed runs of each thing, after one that warms up.
        features: `denoiser`, or a CLIP ViT-B/16 of `open_clip` or `transformers`.
        passes_per_batch: see `G4SegRefiner`.
        skip: of `PARTS`.
        limit_seconds: what has run that long is not repeated.
        seed: of image, weights and noise.
    """

    architecture: str
    device: str = 'cpu'
    dtype: DtypeName = 'float32'
    classes: Sequence[int] = (1, 4, 16)
    size: int = 512
    repeats: int = 5
    features: str = 'denoiser'
    passes_per_batch: int = CPU_BATCH
    skip: Sequence[str] = ()
    limit_seconds: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        self._expect('classes', bool(self.classes) and min(self.classes) >= 1, 'numbers of at least 1')
        self._expect('size', self.size >= 1, 'at least 1')
        self._expect('repeats', self.repeats >= 1, 'at least 1')
        self._expect('passes_per_batch', self.passes_per_batch >= 1, 'at least 1')
        self._expect('limit_seconds', self.limit_seconds >= 0, 'at least 0')
        self._expect('dtype', self.dtype in get_args(DtypeName), f'one of {get_args(DtypeName)}')
        self._expect('features', self.features in get_args(FeatureKind), f'one of {get_args(FeatureKind)}')
        self._expect('skip', set(self.skip) <= set(PARTS), f'some of {PARTS}')
        check_device(self.device)

    def _expect(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f'{name}: expected {expected}, got {getattr(self, name)!r}')


def check_device(name: str) -> None:
    """Raises ValueError unless this machine has the device."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device: expected cpu, cuda or cuda:N, got {name!r}') from error
    if device.type not in ('cpu', 'cuda'):
        raise ValueError(f'device: expected cpu, cuda or cuda:N, got {name!r}')
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f'device: this machine has {torch.cuda.device_count()} CUDA devices, got {name!r}')
