"""What a comparison of two refiners on the same images says, and how sure one can be of it.

Shapes: N images, C classes, F counts of a class, R resamples. Areas are (N, 3, C) int64, see `areas`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .areas import class_iou, mean_iou

RESAMPLES = 4000
INITIAL_IOU_BINS = ((0, 40), (40, 80), (80, 100))
"""The bins, in per cent, that the paper groups its gains by."""


@dataclass(frozen=True)
class Comparison:
    """Attributes (gains and mIoU, or the figure of another kind of report, such as PQ, in per cent):
    before: mIoU of the coarse masks.
    after: mIoU of the refined ones.
    gain: their difference.
    interval: bootstrap 95 % interval of the gain over images; NaN of one image or block of images.
    better: images whose mean IoU over their own labelled classes rose.
    worse: images where it fell.
    by_initial_iou: for each of `INITIAL_IOU_BINS` the mean gain of the masks (one a class and
        image) that started in it, and their number.
    by_class: for each of C classes its gain in that figure, and the bounds of the gain's bootstrap 95 % interval; NaN
        for a class that does not count, or that no image labels. Of a class in one image alone the bounds are NaN.
    """

    before: float
    after: float
    gain: float
    interval: tuple[float, float]
    better: int
    worse: int
    by_initial_iou: tuple[tuple[float, int], ...]
    by_class: tuple[tuple[float, float, float], ...] = ()


def compare(
    before: Tensor, after: Tensor, classes: Sequence[int] | None = None, *, seed: int = 0, block: int = 1
) -> Comparison:
    """Compares two sets of areas on the same images.

    Args:
        before: (N, 3, C).
        after: (N, 3, C).
        classes: that count; those with a labelled pixel when not given.
        seed: of the bootstrap.
        block: neighbouring images that the bootstrap draws together, see `bootstrap_interval`.

    Raises:
        ValueError: if the shapes differ, or there is no image.
    """
    if before.shape != after.shape or not len(before):
        raise ValueError(f'expected areas of the same images, got {tuple(before.shape)} and {tuple(after.shape)}')
    counted = list(classes) if classes is not None else torch.where(before[:, 2].sum(dim=0) > 0)[0].tolist()
    totals = [mean_iou(areas.sum(dim=0), counted).item() * 100 for areas in (before, after)]
    per_image = mean_iou(after) - mean_iou(before)
    drawn = [_bootstrap_iou(areas, counted, RESAMPLES, seed, block) for areas in (before, after)]
    return Comparison(
        before=totals[0],
        after=totals[1],
        gain=totals[1] - totals[0],
        interval=_interval(drawn[1].nanmean(dim=-1) - drawn[0].nanmean(dim=-1)),
        better=int((per_image > 0).sum()),
        worse=int((per_image < 0).sum()),
        by_initial_iou=gain_by_initial_iou(before[..., counted], after[..., counted]),
        by_class=_class_gains(before, after, counted, drawn[1] - drawn[0]),
    )


def bootstrap_interval(
    before: Tensor, after: Tensor, classes: Sequence[int], *, resamples: int = RESAMPLES, seed: int = 0, block: int = 1
) -> tuple[float, float]:
    """Percentile interval (95 %) of the mIoU gain, images drawn with replacement; per cent.

    Both means of a resample are over the classes that are labelled in it, and over those that no image
    labels: predicted, they count with 0, as in the mIoU itself.

    Args:
        before: (N, 3, C).
        after: (N, 3, C).
        classes: that count.
        resamples: how many.
        seed: of the draws.
        block: with more than 1, runs of so many neighbours are drawn, the last image followed by the first:
            frames of a video resemble their neighbours, and drawn one by one they make an interval too narrow.

    Source:
        Circular block bootstrap: Politis and Romano, A Circular Block-Resampling Procedure for Stationary
        Data, 1992.
    """
    drawn = [_bootstrap_iou(areas, classes, resamples, seed, block).nanmean(dim=-1) for areas in (before, after)]
    return _interval(drawn[1] - drawn[0])


def _bootstrap_iou(areas: Tensor, classes: Sequence[int], resamples: int, seed: int, block: int) -> Tensor:
    """IoU of K classes in each of R resamples of N images: (N, 3, C) areas -> (R, K); arguments as above.

    The same seed draws the same images, so that two masks' figures of a resample are of the same images.
    """
    chosen = list(classes)
    weights = resample_weights(len(areas), resamples=resamples, seed=seed, block=block)
    never_labelled = areas[:, 2, chosen].sum(dim=0) == 0
    totals = (weights @ areas.flatten(1).double()).unflatten(1, areas.shape[1:])[..., chosen]  # (R, 3, K)
    return class_iou(totals).where((totals[:, 2] > 0) | never_labelled, torch.nan)


def compare_counts(
    before: Tensor,
    after: Tensor,
    figures: Callable[[Tensor], Mapping[str, Tensor]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    block: int = 1,
) -> dict[str, Comparison]:
    """Compares two sets of counts that add up over images, by each figure that follows from them.

    Args:
        before: (N, F, C) counts of the images.
        after: (N, F, C) likewise, of the same images.
        figures: (..., F, C) float64 counts -> by name (..., C) fractions, NaN for a class that has none.
        resamples: R.
        seed: of the draws.
        block: see `bootstrap_interval`.
    """
    weights = resample_weights(len(before), resamples=resamples, seed=seed, block=block)
    # the same draws for both: a hard image counts on both sides, so that only what it gained matters
    drawn = [figures((weights @ own.flatten(1).double()).unflatten(1, own.shape[1:])) for own in (before, after)]
    whole, alone = [figures(own.sum(dim=0)) for own in (before, after)], [figures(own) for own in (before, after)]
    return {
        name: compare_figures(*([own[name] for own in pair] for pair in (whole, drawn, alone))) for name in whole[0]
    }


def compare_figures(whole: Sequence[Tensor], drawn: Sequence[Tensor], alone: Sequence[Tensor]) -> Comparison:
    """Compares a figure of classes before and after: fractions, NaN for a class that has none.

    Args:
        whole: (C,) float twice, of all images.
        drawn: (R, C) float twice, of each resample.
        alone: (N, C) float twice, of each image.
    """
    before, after = (float(own.nanmean()) * 100 for own in whole)
    change = alone[1].nanmean(dim=-1) - alone[0].nanmean(dim=-1)
    gains, drawn_gains = ((whole[1] - whole[0]) * 100).tolist(), drawn[1] - drawn[0]
    in_several = (~(alone[0].isnan() & alone[1].isnan())).sum(dim=0) > 1
    return Comparison(
        before=before,
        after=after,
        gain=after - before,
        interval=_interval(drawn[1].nanmean(dim=-1) - drawn[0].nanmean(dim=-1)),
        better=int((change > 0).sum()),
        worse=int((change < 0).sum()),
        by_initial_iou=(),
        by_class=tuple((gain, *_class_interval(drawn_gains[:, c], in_several[c])) for c, gain in enumerate(gains)),
    )


def resample_weights(count: int, *, resamples: int, seed: int = 0, block: int = 1) -> Tensor:
    """How often each of N images is drawn in each of R resamples: (R, N) float64; arguments as `compare_counts`.

    NaN where there is one block alone, and so all that follows from it: every resample would be the same, and an
    interval of no width would pass for certainty.
    """
    if count <= block:
        return torch.full((resamples, count), torch.nan, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(count, (resamples, -(-count // block)), generator=generator)
    drawn = ((starts[..., None] + torch.arange(block)) % count).flatten(1)[:, :count]
    weights = torch.zeros(resamples, count, dtype=torch.float64)
    return weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))


def _interval(gains: Tensor) -> tuple[float, float]:
    """Percentile interval (95 %) of fractions (R,), NaN left out; per cent."""
    low, high = torch.nanquantile(gains, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low * 100, high * 100


def _class_gains(
    before: Tensor, after: Tensor, classes: Sequence[int], drawn: Tensor
) -> tuple[tuple[float, float, float], ...]:
    """See `Comparison.by_class`: (N, 3, C) areas twice, and (R, K) gains of the K classes in each resample."""
    gains = (class_iou(after.sum(dim=0)) - class_iou(before.sum(dim=0))) * 100
    images = (before[:, 2] > 0).sum(dim=0)
    result = [(torch.nan,) * 3] * len(gains)
    for place, index in enumerate(classes):
        if images[index]:
            result[index] = (gains[index].item(), *_class_interval(drawn[:, place], images[index] > 1))
    return tuple(result)


def _class_interval(gains: Tensor, in_several: Tensor) -> tuple[float, float]:
    """Of one class: (R,) fractions. Every resample that has its only image says the same, as if that were certain."""
    return _interval(gains) if in_several else (torch.nan, torch.nan)


def gain_by_initial_iou(before: Tensor, after: Tensor) -> tuple[tuple[float, int], ...]:
    """Mean gain, in per cent, and number of the masks (image and labelled class) in each bin: (N, 3, C) areas twice."""
    labelled = before[:, 2] > 0  # (N, C)
    initial, gain = class_iou(before)[labelled] * 100, (class_iou(after) - class_iou(before))[labelled] * 100
    result = []
    for low, high in INITIAL_IOU_BINS:
        inside = (initial >= low) & ((initial < high) | (high == 100))
        result.append((gain[inside].mean().item(), int(inside.sum())))
    return tuple(result)
