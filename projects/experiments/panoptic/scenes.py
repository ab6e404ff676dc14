"""Scenes as panoptic cases: true segments, and the masks of queries that err in a known measure.

Shapes: S segments, H W image size, h w grid of the queries' masks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import label
from torch import Tensor

from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.noise import image_generator
from mmseg_g4seg.ops.panoptic import segment_labels
from mmseg_g4seg.ops.queries import winning_queries

STUFF = ('sky', 'brick wall', 'grass', 'sand', 'water')
LEAST_PIXELS = 24
"""Smaller crumbs of an object, left by another before it, are void in the truth."""
SHARPNESS = 6.0
"""Logit of a mask deep inside its segment."""
OVERLAP_THRESHOLD = 0.8
"""MaskFormer drops a segment that wins less than this share of its own mask: void."""


@dataclass(frozen=True)
class Quality:
    """How queries err.

    Attributes:
        name: of the quality.
        cells: side of the grid of the masks.
        noise: deviation of the noise on a mask's logits, smooth over a cell.
        wrong_class: share of the segments whose class is drawn at random.
    """

    name: str
    cells: int
    noise: float
    wrong_class: float


WEAK = Quality('weak', cells=16, noise=3.0, wrong_class=0.1)
GOOD = Quality('good', cells=32, noise=1.5, wrong_class=0.0)


@dataclass(frozen=True)
class Case:
    """One scene.

    Attributes:
        name: of its file.
        image: (3, H, W) float RGB in [0, 1].
        true_map: (H, W) int64 ids, 0 in void.
        true_segments: `id` and `category_id` of each.
    """

    name: str
    image: Tensor
    true_map: Tensor
    true_segments: list[dict[str, Any]]


def read_cases(folder: Path, split: str, names: Sequence[str]) -> Iterator[Case]:
    """Reads the scenes that `projects.demo.make_scenes` wrote, with a segment for each stuff and each connected object.

    Two objects of a class that touch are one segment: the scenes' label maps do not tell them apart.
    """
    for path in sorted((folder / 'images' / split).glob('*.png')):
        labels = read_index_png(folder / 'labels' / split / path.name, len(names)).numpy()
        true_map = np.zeros(labels.shape, np.int64)
        segments: list[dict[str, Any]] = []
        for c in np.unique(labels).tolist():
            parts = (labels == c).astype(int) if names[c] in STUFF else label(labels == c)[0]
            for part in range(1, parts.max() + 1):
                if (parts == part).sum() >= LEAST_PIXELS:
                    segments.append({'id': len(segments) + 1, 'category_id': c})
                    true_map[parts == part] = len(segments)
        yield Case(path.name, read_image(path), torch.from_numpy(true_map), segments)


@dataclass(frozen=True)
class Coarse:
    """A prediction as MaskFormer would give it.

    Attributes:
        id_map: (H, W) int64, 0 in void.
        segments: `id` and `category_id` of each of S.
        masks: (S, H, W) float, the queries' own masks.
    """

    id_map: Tensor
    segments: list[dict[str, Any]]
    masks: Tensor


def degrade(case: Case, quality: Quality, num_classes: int, *, seed: int = 0) -> Coarse:
    """Predicts the true segments by one query each, whose mask is coarse and noisy, and decides as MaskFormer does."""
    generator = image_generator(seed=seed, key=f'{quality.name}/{case.name}')
    ids = [segment['id'] for segment in case.true_segments]
    own = torch.stack([case.true_map == i for i in ids]).float()
    grid = resize_maps(own, (quality.cells, quality.cells))  # (S, h, w)
    logits = SHARPNESS * (2 * grid - 1) + quality.noise * torch.randn(grid.shape, generator=generator)
    logits = F.interpolate(logits[None], own.shape[1:], mode='bilinear', align_corners=False)[0]  # (S, H, W)
    scores = 0.5 + 0.5 * torch.rand(len(ids), generator=generator)
    redrawn = torch.rand(len(ids), generator=generator) < quality.wrong_class
    classes = torch.randint(num_classes, (len(ids),), generator=generator)
    winner, confident = winning_queries(scores, logits), logits > 0
    id_map = torch.zeros_like(case.true_map)
    segments: list[dict[str, Any]] = []
    for q, segment in enumerate(case.true_segments):
        won = winner == q
        if (won & confident[q]).any() and won.sum() >= OVERLAP_THRESHOLD * confident[q].sum():
            id_map[won & confident[q]] = segment['id']
            category = int(classes[q]) if redrawn[q] else segment['category_id']
            segments.append({'id': segment['id'], 'category_id': category})
    kept = torch.tensor([s['id'] - 1 for s in segments], dtype=torch.long)
    masks = scores[kept, None, None] * logits[kept].sigmoid()
    assert (segment_labels(id_map, [s['id'] for s in segments]) >= 0).equal(id_map > 0)
    return Coarse(id_map, segments, masks)
