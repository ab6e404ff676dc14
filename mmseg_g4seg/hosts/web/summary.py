"""What a run did, in words and figures, as HTML.

Shapes: H W size of the picture.
"""

from html import escape

import torch
from torch import Tensor

from mmseg_g4seg.evaluation.areas import class_areas, mean_iou
from mmseg_g4seg.ops.masks import over_under_regions

from .drawing import OVER, UNDER, legend
from .run import Outcome


def summarise(outcome: Outcome, truth: Tensor | None) -> str:
    """A headline, the mean IoU where there is a true mask, and the area of every class before and after.

    Args:
        outcome: of the run.
        truth: (H, W) int64 labels, of the scenes that ship; None for a user's own picture.
    """
    before, after = outcome.coarse.label_map.cpu(), outcome.refined.label_map.cpu()
    changed = 100 * float((before != after).float().mean())
    seconds = ', then '.join(f'{escape(stage.name)} {stage.seconds:.1f} s' for stage in outcome.stages)
    lines = [f'<p class="headline">{changed:.1f} % of the pixels changed <span>{seconds}</span></p>']
    if truth is not None:
        lines.append(f'<p>{_against(truth, before, after, len(outcome.classes))}</p>')
    return ''.join(lines) + _table(outcome, before, after)


def describe_regions(outcome: Outcome, class_index: int) -> str:
    """How much of a class the coarse mask had too much and too little, by the refined one; with a legend."""
    before, after = outcome.coarse.label_map, outcome.refined.label_map
    over, under = (int(region.sum()) for region in over_under_regions(before, after, class_index))
    return legend(
        [(f'over-segmented, taken away: {over} pixels', OVER), (f'under-segmented, added: {under} pixels', UNDER)]
    )


def _against(truth: Tensor, before: Tensor, after: Tensor, count: int) -> str:
    coarse, refined = (100 * float(mean_iou(class_areas(mask, truth, count))) for mask in (before, after))
    kind = 'better' if refined > coarse else 'worse' if refined < coarse else 'same'
    return (
        f"Mean IoU against this scene's true mask: {coarse:.1f} → <strong class='{kind}'>{refined:.1f} "
        f'({refined - coarse:+.1f})</strong>'
    )


def _table(outcome: Outcome, before: Tensor, after: Tensor) -> str:
    count, total = len(outcome.classes), before.numel()
    areas = [torch.bincount(m[(m >= 0) & (m < count)].flatten(), minlength=count).tolist() for m in (before, after)]
    rows = ''.join(
        f'<tr><th scope="row">{escape(name)}</th><td>{old / total:.1%}</td><td>{new / total:.1%}</td></tr>'
        for name, old, new in zip(outcome.classes.labels, *areas, strict=True)
        if old or new
    )
    head = '<tr><th scope="col">Class</th><th scope="col">Coarse area</th><th scope="col">Refined area</th></tr>'
    table = f'<table><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return f'<details><summary>Area of every class</summary>{table}</details>'
