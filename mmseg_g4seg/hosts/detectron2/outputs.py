"""Refines the outputs of one image, each by the rule of its kind.

Shapes: C classes, S segments, H W output size.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.ops.clock import device_seconds
from mmseg_g4seg.ops.scores import ScoreType
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.panoptic import refine_panoptic

from .class_names import instance_names, segment_names, semantic_classes
from .config import NODE
from .images import image_key, recover_image
from .instances import refine_instances
from .queries import RecordedQueries
from .semantic import RefinedSemantic, refine_semantic

COARSE = '_coarse'
"""What the name of an output ends with that holds the plain model's: `sem_seg_coarse`."""
SECONDS, STAGES = '_seconds', '_stages'
"""Likewise what it took by stage, and the label maps of a chain's refiners."""


class OutputRefiner:
    """Refines what a model says of one image."""

    def __init__(
        self,
        refiner: Refiner,
        *,
        outputs: Sequence[str],
        input_format: str,
        score_type: ScoreType | None,
        metadata: Callable[[], Any],
        soften: float,
    ) -> None:
        """Args:
        refiner: what does the work.
        outputs: which are refined.
        input_format: channel order of the inputs.
        score_type: of `sem_seg`, where that is refined.
        metadata: gives the data set's; asked at the first image, since a model may be built before its data set.
        soften: of hard segments and of instances, see `refine_panoptic`.
        """
        self.refiner, self.outputs = refiner, outputs
        self.input_format, self.score_type = input_format, score_type
        self._find_metadata, self._soften = metadata, soften

    def __call__(
        self,
        inputs: Mapping[str, Any],
        output: dict[str, Any],
        *,
        device: torch.device,
        queries: RecordedQueries | None = None,
        coarse_seconds: float = 0.0,
    ) -> None:
        """Refines an output in place; what it held stays beside under `..._coarse`.

        Args:
            inputs: of the model, for this image.
            output: of the model.
            device: to refine on.
            queries: that were recorded behind `panoptic_seg`.
            coarse_seconds: that the plain model took.

        Raises:
            ValueError: if an output is not there, names are missing, or scores do not fit.
        """
        missing = [name for name in self.outputs if name not in output]
        if missing:
            raise ValueError(f'{NODE}.OUTPUTS: the model gives {sorted(output)}, expected {missing[0]!r} among them')
        for name in self.outputs:
            given = output[name]
            clock = [torch.empty(0, device=device)]
            start = device_seconds(clock)
            if name == 'sem_seg':
                refined = self._semantic(inputs, given, device)
                output[name], output[name + STAGES] = refined.sem_seg, refined.stages
                seconds = refined.seconds
            else:
                output[name] = (
                    self._panoptic(inputs, *given, device=device, queries=queries)
                    if name == 'panoptic_seg'
                    else self._instances(inputs, given, device)
                )
                seconds = {self.refiner.name: device_seconds(clock) - start}
            output[name + COARSE], output[name + SECONDS] = given, {'coarse': coarse_seconds, **seconds}

    def _image(self, inputs: Mapping[str, Any], size: Sequence[int], device: torch.device) -> Tensor:
        """(3, H, W) float RGB in [0, 1]."""
        return recover_image(inputs, self.input_format, size).to(device)

    def _semantic(self, inputs: Mapping[str, Any], scores: Tensor, device: torch.device) -> RefinedSemantic:
        """Of (C, H, W) scores."""
        assert self.score_type is not None
        image = self._image(inputs, scores.shape[-2:], device)
        key = image_key(inputs)
        return refine_semantic(self.refiner, image, scores, self._classes, score_type=self.score_type, key=key)

    def _panoptic(
        self,
        inputs: Mapping[str, Any],
        panoptic_seg: Tensor,
        segments_info: list[dict[str, Any]] | None,
        *,
        device: torch.device,
        queries: RecordedQueries | None,
    ) -> tuple[Tensor, list[dict[str, Any]] | None]:
        """Ids (H, W) and segments after refining."""
        # an open-vocabulary model is asked about other classes than it was built with, during its forward alone
        metadata = (queries and queries.metadata) or self._metadata
        names = segment_names(metadata, labels=queries.labels if queries else None)
        segments = (
            None
            if segments_info is None
            else [{**segment, 'category_id': names.index(segment)} for segment in segments_info]
        )
        ids, left = refine_panoptic(
            self.refiner,
            self._image(inputs, panoptic_seg.shape, device),
            panoptic_seg,
            segments,
            names.classes.with_options(self.refiner.class_options),
            query_masks=queries.masks if queries else None,
            label_divisor=getattr(metadata, 'label_divisor', None),
            soften=self._soften,
            key=image_key(inputs),
        )
        given = {segment['id']: segment['category_id'] for segment in segments_info or ()}
        return ids, None if left is None else [{**s, 'category_id': given[s['id']]} for s in left]

    def _instances(self, inputs: Mapping[str, Any], instances: Any, device: torch.device) -> Any:
        names = ClassList(instance_names(self._metadata)).with_options(self.refiner.class_options)
        image = self._image(inputs, instances.image_size, device)
        return refine_instances(self.refiner, image, instances, names, soften=self._soften, key=image_key(inputs))

    @cached_property
    def _metadata(self) -> Any:
        return self._find_metadata()

    @cached_property
    def _classes(self) -> ClassList:
        return semantic_classes(self._metadata).with_options(self.refiner.class_options)
