"""Records the queries' own masks behind a panoptic prediction: MaskFormer, Mask2Former, ODISE.

Shapes: Q queries, C classes, S segments of an image, H W image size.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mmseg_g4seg.ops.queries import LEAST_EXPLAINED, own_masks
from mmseg_g4seg.prediction import ClassName


@dataclass(frozen=True)
class RecordedQueries:
    """What was recorded of one image.

    Attributes:
        masks: (S, H, W) float16 in [0, 1], score times mask of each segment's queries, in the order of
            `segments_info`; None where the queries do not explain the segments.
        explained: share of the segments' pixels that a query of theirs wins, in [0, 1].
        labels: names of the classes that an open-vocabulary model was asked about; None where it has its own.
        metadata: of the data set that the model held during the call.
    """

    masks: Tensor | None
    explained: float
    labels: Sequence[ClassName] | None
    metadata: Any


class QueryRecorder:
    """Records the calls of a model's `panoptic_inference(mask_cls, mask_pred)`, one an image, in order.

    It keeps 2 S H W bytes an image, and takes three times that at its peak, whatever the number of queries: 84 and 236
    MB for 20 segments at 2048 x 1024. Refining them takes 16 times as much, 1.3 GB.
    """

    def __init__(self, model: nn.Module) -> None:
        """Args:
        model: any; one without queries, such as Panoptic-FPN, gives no records.
        """
        # the innermost: ODISE's wrapper holds the model that is called
        owners = [m for m in model.modules() if callable(getattr(type(m), 'panoptic_inference', None))]
        self.owner = owners[-1] if owners else None
        self._told = False

    @contextmanager
    def recording(self) -> Iterator[list[RecordedQueries]]:
        """Gives the list that records are added to while the model runs."""
        records: list[RecordedQueries] = []
        owner: Any = self.owner
        if owner is None:
            yield records
            return
        inner, patched = owner.panoptic_inference, vars(owner).get('panoptic_inference')

        def panoptic_inference(mask_cls: Tensor, mask_pred: Tensor) -> tuple[Tensor, list[dict[str, Any]]]:
            found = inner(mask_cls, mask_pred)
            records.append(self._record(mask_cls, mask_pred, *found))
            return found

        owner.panoptic_inference = panoptic_inference
        try:
            yield records
        finally:
            del owner.panoptic_inference
            if patched is not None:
                owner.panoptic_inference = patched

    def _record(
        self, mask_cls: Tensor, mask_pred: Tensor, panoptic_seg: Tensor, segments_info: Sequence[dict[str, Any]]
    ) -> RecordedQueries:
        masks, explained = own_masks(
            mask_cls, mask_pred, panoptic_seg, [s['id'] for s in segments_info], self._threshold
        )
        if explained < LEAST_EXPLAINED and not self._told:
            warnings.warn(
                f'{type(self.owner).__name__}: its queries explain {100 * explained:.1f} % of the pixels of its '
                f'segments, below {100 * LEAST_EXPLAINED:.0f} %: hard segments are softened in their place',
                stacklevel=2,
            )
            self._told = True
        # now, not after forward: ODISE's wrapper puts the training's classes back when it returns
        assert self.owner is not None
        labels = next((found for m in self.owner.modules() if (found := getattr(m, 'test_labels', None))), None)
        return RecordedQueries(masks, explained, labels, getattr(self.owner, 'metadata', None))

    @property
    def _threshold(self) -> float:
        return float(getattr(self.owner, 'object_mask_threshold', 0.0))
