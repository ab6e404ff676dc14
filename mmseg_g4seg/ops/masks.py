"""Class selection, resizing, and merging of per-class results.

Shapes: C classes of the data set, K classes refined, H W image size, h w a smaller grid.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.prediction import IGNORE_INDEX

BORDER_WIDTH = 0.015
"""How wide borders of hard labels are unsure where a user does not say: see `soften_labels`; a share of the
image's longer side."""


def present_classes(
    label_map: Tensor, num_classes: int, *, min_area: float = 0.0, background_index: int | None = None
) -> list[int]:
    """Lists the classes worth refining: those that cover enough of the coarse label map.

    Args:
        label_map: (H, W) int64 class indices; values outside [0, C) are ignored.
        num_classes: C.
        min_area: least share of the image's pixels, in [0, 1].
        background_index: class that is never refined.

    Returns:
        Class indices in ascending order.
    """
    valid = label_map[(label_map >= 0) & (label_map < num_classes)]
    areas = torch.bincount(valid.flatten(), minlength=num_classes).tolist()
    least = max(1.0, min_area * label_map.numel())
    return [c for c, area in enumerate(areas) if area >= least and c != background_index]


def labelled_pixels(truth: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Pixels of a truth that count: (H, W) integer -> (H, W) bool."""
    return (truth != ignore_index) & (truth >= 0) & (truth < num_classes)


def compared_pixels(label_map: Tensor, truth: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Pixels where a mask is measured against a truth: (H, W) integer twice -> (H, W) bool.

    Raises:
        ValueError: if the shapes differ.
    """
    if label_map.shape != truth.shape:
        raise ValueError(f'expected labels {tuple(truth.shape)} as the truth has, got {tuple(label_map.shape)}')
    return labelled_pixels(truth, num_classes, ignore_index)


def over_under_regions(
    label_map: Tensor, truth: Tensor, class_index: int, ignore_index: int = IGNORE_INDEX
) -> tuple[Tensor, Tensor]:
    """Where a mask has too much of a class, and where too little.

    Args:
        label_map: (H, W) integer class indices.
        truth: (H, W) integer; or a refined mask, which then stands for the truth.
        class_index: of the class.
        ignore_index: of pixels without a true label, which are neither.

    Returns:
        Over-segmented and under-segmented pixels, (H, W) bool each.

    Raises:
        ValueError: if the shapes differ.
    """
    if label_map.shape != truth.shape:
        raise ValueError(f'expected labels {tuple(truth.shape)} as the truth has, got {tuple(label_map.shape)}')
    # a pixel that nobody labelled is no fault of the mask
    known = (truth != ignore_index) & (truth >= 0)
    given, true = label_map == class_index, truth == class_index
    return given & ~true & known, true & ~given & known


def as_size(image_size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of a side or a pair; ValueError if it is something else."""
    sides = list(image_size) if isinstance(image_size, Sequence) else [image_size] * 2
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise ValueError(f'image_size: expected an integer, or (height, width), got {image_size!r}')
    return sides[0], sides[1]


def resize_maps(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resizes maps: averages areas when shrinking, bilinear when growing.

    Args:
        maps: (..., H, W) float.
        size: (h, w) wanted.

    Returns:
        (..., h, w), dtype of `maps`.
    """
    height, width = int(size[0]), int(size[1])
    if maps.shape[-2:] == (height, width):
        return maps
    batch = maps.reshape(-1, 1, *maps.shape[-2:])
    # each axis on its own: a 7 x 2000 image shrinks along one and grows along the other
    rows = min(height, maps.shape[-2])
    cols = min(width, maps.shape[-1])
    shrunk = F.adaptive_avg_pool2d(batch, (rows, cols))
    grown = F.interpolate(shrunk, (height, width), mode='bilinear', align_corners=False)
    return grown.reshape(*maps.shape[:-2], height, width)


def soften_labels(label_map: Tensor, num_classes: int, deviation: float, *, uniform: float | None = None) -> Tensor:
    """Makes probabilities of hard labels: less sure the nearer a pixel is to a border.

    Args:
        label_map: (H, W) int64; values outside [0, C) have no label, and no say.
        num_classes: C.
        deviation: of the Gaussian that labels are blurred with, pixels; 0 gives 0 and 1.
        uniform: probability of each class where no label is near; 1 / C when not given.

    Returns:
        (C, H, W) float32 that sums to 1, each pixel's own label being the most probable (if only
        just, in what is thinner than the Gaussian); `uniform` where no label is near.
    """
    probs = torch.zeros(num_classes, *label_map.shape, device=label_map.device)
    present = present_classes(label_map, num_classes)
    # few at once: of 150 classes at 4096 x 4096 every copy has 10 GB; never one of several, which rounds otherwise
    for start in range(0, len(present), 2):
        group = present[max(0, min(start, len(present) - 2)) : start + 2]
        own = torch.stack([label_map == c for c in group]).float()
        probs[group] = _blur(own, deviation) if deviation > 0 else own
    best = probs.amax(dim=0)
    for c in present:
        behind = (label_map == c) & (probs[c] < best)
        probs[c] = torch.where(behind, best * 1.001, probs[c])
    total = probs.sum(dim=0)
    near = (total > 1e-6) | ((label_map >= 0) & (label_map < num_classes))
    probs.div_(total.clamp_min(1e-6))
    return probs.masked_fill_(~near, 1 / num_classes if uniform is None else uniform)


def _blur(maps: Tensor, deviation: float) -> Tensor:
    """Gaussian of three deviations to each side, the borders repeated: (N, H, W) -> (N, H, W)."""
    radius = max(1, round(3 * deviation))
    offsets = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    blurred = maps[:, None]
    for _ in range(2):  # rows, then columns
        padded = F.pad(blurred, (radius, radius, 0, 0), mode='replicate')
        blurred = F.conv2d(padded, kernel).transpose(-1, -2)
    return blurred[:, 0]


def merge_class_probs(probs: Tensor, classes: Sequence[int], updated: Tensor) -> Tensor:
    """Puts K independently updated foreground probabilities back among all classes.

    Pixels where no class changed keep their probabilities bit by bit; the others are normalised to
    a sum of 1 again.

    Args:
        probs: (C, H, W) float in [0, 1].
        classes: K class indices.
        updated: (K, H, W) float in [0, 1].

    Returns:
        (C, H, W), dtype of `probs`.
    """
    merged = probs.clone()
    changed = torch.zeros(probs.shape[1:], dtype=torch.bool, device=probs.device)
    for c, update in zip(classes, updated, strict=True):
        merged[c] = update.to(probs)
        changed |= merged[c] != probs[c]
    # in place, and x / 1 is x: of 150 classes at 2048 x 1024 a copy has 1.2 GB
    return merged.div_(torch.where(changed, merged.sum(dim=0).clamp_min(1e-12), 1.0))


def changed_pixels(probs: Tensor, other: Tensor) -> Tensor:
    """Where any class has another probability: (C, H, W) float twice -> (H, W) bool."""
    changed = torch.zeros(probs.shape[1:], dtype=torch.bool, device=probs.device)
    for before, after in zip(probs, other, strict=True):
        changed |= before != after
    return changed


def decide_labels(
    probs: Tensor, *, background_index: int | None = None, background_threshold: float | None = None
) -> Tensor:
    """Decides a label map: argmax, or background where no foreground class reaches a threshold.

    Args:
        probs: (C, H, W) float in [0, 1].
        background_index: the background class; needed by the threshold.
        background_threshold: least probability of a foreground class; None takes the argmax.

    Returns:
        (H, W) int64.
    """
    if background_threshold is None or background_index is None:
        return probs.argmax(dim=0)
    others = [c for c in range(len(probs)) if c != background_index]
    best = torch.full_like(probs[0], -1.0)
    labels = torch.full_like(best, background_index, dtype=torch.int64)
    for c in others:
        better = probs[c] > best
        best = torch.where(better, probs[c], best)
        labels = labels.where(~better, c)
    return labels.where(best >= background_threshold, background_index)
