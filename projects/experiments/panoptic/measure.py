"""Refines a degraded scene in several ways, and compares each with the control that only fills void.

Shapes: H W image size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from mmseg_g4seg.evaluation.panoptic import PanopticRecord, Segmentation, build_panoptic_report, measure_panoptic
from mmseg_g4seg.evaluation.records import COARSE
from mmseg_g4seg.evaluation.statistics import Comparison
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.fill_void import FillVoid
from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER, refine_panoptic

from .scenes import Case, Coarse

CONTROL = 'void filled, nothing refined'


def refine_all(
    case: Case, coarse: Coarse, refiners: Mapping[str, Refiner], classes: ClassList, *, soften: float = SEGMENT_BORDER
) -> PanopticRecord:
    """Measures one scene: coarse, control, and each refiner with void kept and with void filled behind it.

    Args:
        case: scene and truth.
        coarse: its prediction.
        refiners: by the name that tables show.
        classes: of the scenes.
        soften: of hard segments, see `refine_panoptic`.
    """
    stages: dict[str, Segmentation] = {COARSE: (coarse.id_map, coarse.segments)}
    stages[CONTROL] = _fill(case, coarse.id_map, coarse, classes)
    for name, refiner in refiners.items():
        for source, masks in (("queries' masks", coarse.masks), ('hard segments', None)):
            given = classes.with_options(refiner.class_options)
            ids, left = refine_panoptic(
                refiner,
                case.image,
                coarse.id_map,
                coarse.segments,
                given,
                query_masks=masks,
                soften=soften,
                key=case.name,
            )
            stages[f'{name}, {source}'] = ids, left or []
            stages[f'{name}, {source}, then void filled'] = _fill(case, ids, coarse, classes)
    return measure_panoptic(case.name, stages, (case.true_map, case.true_segments), len(classes))


def _fill(case: Case, id_map: Tensor, coarse: Coarse, classes: ClassList) -> Segmentation:
    """Void of a map (H, W) filled by the queries' masks, as `FillVoid` behind a refiner does."""
    ids, left = refine_panoptic(
        FillVoid(), case.image, id_map, coarse.segments, classes, query_masks=coarse.masks, key=case.name
    )
    return ids, left or []


def gains(
    records: Sequence[PanopticRecord], class_names: Sequence[str], things: Sequence[int], *, over: str = COARSE
) -> dict[str, Comparison]:
    """The gain of every later stage over one, the same scenes drawn on both sides."""
    names = records[0].stages
    base = names.index(over)
    chosen = [i for i, name in enumerate(names) if name not in (COARSE, over)]
    stages = (COARSE, *(names[i] for i in chosen))
    turned = [replace(r, stages=stages, counts=r.counts[[base, *chosen]]) for r in records]
    return dict(build_panoptic_report(turned, class_names, things=things).gains)
