"""Successive halving of candidate classes, place by place: all are asked once, then those that lead, in fewer layouts.

    mean_n(c) = mean_{n-1}(c) + (error_n(c) - mean_{n-1}(c)) / n    where c is asked,
    mean_n(c) = mean_{n-1}(c) + the mean of these steps over the candidates that are   elsewhere

Shapes: N candidates, M layouts, P connected parts, h w latent grid.

Source: sequential halving, Karnin, Koren and Somekh, Almost Optimal Exploration in Multi-Armed Bandits, ICML 2013.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def update_means(means: Tensor, errors: Tensor, asked: Tensor, count: int) -> Tensor:
    """Adds one more answer to running means; who is not asked keeps its distance to the mean of those who are.

    Args:
        means: (N, h, w) float, of `count` - 1 answers.
        errors: (N, h, w) float, the new answers; any finite number where there is none.
        asked: (N, h, w) bool, where there is one.
        count: of answers, the new one included.

    Returns:
        (N, h, w); `means` where no candidate was asked.
    """
    steps = (errors - means) / count
    # noise levels differ in their errors by more than classes do: a candidate that stood still would fall back or win
    shared = (steps * asked).sum(dim=0) / asked.sum(dim=0).clamp_min(1)
    return means + torch.where(asked, steps, shared)


def keep_leaders(posterior: Tensor, open_to: Tensor, keep: int) -> Tensor:
    """Drops all but the most probable candidates of each place.

    Args:
        posterior: (N, h, w) float.
        open_to: (N, h, w) bool, candidates that are left.
        keep: how many stay, at most.

    Returns:
        (N, h, w) bool; of equally probable ones the first stay.
    """
    order = posterior.masked_fill(~open_to, -torch.inf).argsort(dim=0, descending=True, stable=True)
    return open_to & (order.argsort(dim=0) < keep)


def connected_parts(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Connected parts of several masks; cells that touch at a corner are connected.

    Args:
        masks: (N, h, w) bool.

    Returns:
        The mask that each part is of, (P,) int64, and the parts, (P, h, w) bool, by mask and place.
    """
    numbers = torch.arange(1, masks[0].numel() + 1, device=masks.device).view(masks.shape[1:])
    # the highest number of a part spreads through it; in float32 numbers are exact up to 16 million cells
    labels, before = numbers * masks.float(), torch.zeros_like(masks, dtype=torch.float32)
    while not torch.equal(labels, before):
        before, labels = labels, F.max_pool2d(labels[:, None], 3, 1, 1)[:, 0] * masks
    owners = [(n, label) for n, own in enumerate(labels) for label in own.unique().tolist() if label]
    parts = [labels[n] == label for n, label in owners]
    rows = torch.tensor([n for n, _ in owners], dtype=torch.long, device=masks.device)
    return rows, torch.stack(parts) if parts else masks[:0]


def pack_parts(contested: Tensor) -> Tensor:
    """Shares layouts among candidates: parts of the image that do not overlap are asked about at once.

    A connected part goes into a layout whole. Cut by cell, neighbours would try different classes, and none of
    them would look like itself.

    Args:
        contested: (N, h, w) bool, where each candidate is to be asked.

    Returns:
        (M, h, w) int64, the candidate that each layout tries at a place, -1 where it tries none; every candidate is
        tried once wherever it is contested.
    """
    rows, parts = connected_parts(contested)
    layouts: list[Tensor] = []
    # the largest first: small parts fill the gaps
    for part in parts.flatten(1).sum(dim=1).argsort(descending=True, stable=True).tolist():
        own = parts[part]
        fitting = next((layout for layout in layouts if not (layout[own] >= 0).any()), None)
        if fitting is None:
            fitting = torch.full_like(own, -1, dtype=torch.long)
            layouts.append(fitting)
        fitting[own] = rows[part]
    return torch.stack(layouts) if layouts else torch.empty(0, *contested.shape[1:], dtype=torch.long)


def read_answers(layouts: Tensor, answers: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """Sorts what was found under packed layouts by candidate.

    Args:
        layouts: (M, h, w) int64 of `pack_parts`.
        answers: (M, h, w) float, one a layout and place.
        candidates: N.

    Returns:
        (N, h, w) float errors, 0 where a candidate was not tried, and (N, h, w) bool, where it was.
    """
    tried = layouts[:, None] == torch.arange(candidates, device=layouts.device)[:, None, None]  # (M, N, h, w)
    return (answers[:, None] * tried).sum(dim=0), tried.any(dim=0)
