"""Images of large squares with masks that are shifted and noisy, and their records."""

import torch
from torch import Tensor

from mmseg_g4seg.evaluation.records import COARSE, REFINED, ImageRecord, measure_image

CLASSES = ('sky', 'grass', 'fish', 'never there')


def random_maps(seed: int, *, chain: bool = False) -> tuple[dict[str, Tensor], Tensor]:
    """Masks by stage and the truth, (40, 60) int64; some pixels of each are of no class."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(3, (2, 3), generator=generator).repeat_interleave(20, 0).repeat_interleave(20, 1)
    noise = torch.rand(truth.shape, generator=generator)
    coarse = torch.where(noise < 0.3, torch.randint(-1, 3, truth.shape, generator=generator), truth.roll(3, 1))
    between = {'PAMR': truth.roll(2, 1)} if chain else {}
    refined = truth.roll(1, 1)
    truth = torch.where(noise > 0.98, 255, truth)
    return {COARSE: coarse, **between, REFINED: refined}, truth


def make_records(count: int = 4, *, chain: bool = False, labelled: bool = True) -> list[ImageRecord]:
    records = []
    for i in range(count):
        maps, truth = random_maps(i, chain=chain)
        seconds = {'coarse': 0.5, **({'PAMR': 0.25} if chain else {}), 'CRF': 1.5}
        records.append(measure_image(f'{i}.png', maps, truth if labelled else None, len(CLASSES), seconds=seconds))
    return records
