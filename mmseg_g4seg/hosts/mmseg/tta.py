"""Test-time augmentation with one refinement, after the augmented predictions are merged."""

import math
from collections.abc import Sequence
from typing import Any

from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_g4seg.ops.clock import device_seconds
from mmseg_g4seg.ops.masks import decide_labels
from mmseg_g4seg.prediction import Prediction

from .images import recover_image
from .segmentor import RefinedSegmentor


@MODELS.register_module()
class RefinedSegTTAModel(SegTTAModel):
    """`SegTTAModel` for a `RefinedSegmentor`: averages probabilities, then refines once.

    mmseg's own TTA model replaces `pred_sem_seg` alone, and leaves the last augmentation's
    `seg_logits` in the merged sample; here both are the average's.
    """

    def __init__(self, module: Any, **kwargs: Any) -> None:
        super().__init__(module, **kwargs)
        if not isinstance(self.module, RefinedSegmentor):
            raise TypeError(f'RefinedSegTTAModel: expected a RefinedSegmentor, got {type(self.module).__name__}')

    def test_step(self, data: dict[str, list]) -> list[SegDataSample]:
        """Predicts every augmentation without refining, merges, refines the merged prediction.

        Args:
            data: as mmengine's `pseudo_collate` makes it, a list of augmentations under each key.
        """
        start = device_seconds(data['inputs'][0])
        clearest = [clearest_view(views) for views in zip(*data['data_samples'], strict=True)]
        samples: list[SegDataSample] = []
        total: list[Tensor] = []
        images: dict[int, Tensor] = {}
        views = [dict(zip(data, view, strict=True)) for view in zip(*data.values(), strict=True)]
        for number, view in enumerate(views):
            # one augmentation at a time: only the sum of their probabilities is kept
            prepared = self.module.data_preprocessor(view, False)
            predicted = self.module.predict_coarse(prepared['inputs'], prepared['data_samples'])[0]
            probs = [self.module.coarse_prediction(sample).probs for sample in predicted]
            for i, (inputs, sample) in enumerate(zip(prepared['inputs'], predicted, strict=True)):
                if clearest[i] == number:
                    images[i] = recover_image(inputs, sample.metainfo, self.module.data_preprocessor)
            if not samples:
                samples, total = predicted, probs
            else:
                total = [sum_.add_(new) for sum_, new in zip(total, probs, strict=True)]
        merged = [self._merge(s, t.div_(len(views))) for s, t in zip(samples, total, strict=True)]
        seconds = (device_seconds(total) - start) / len(merged)
        if self.module.refiner is None:
            return samples
        return self.module.refine_samples(
            samples, [images[i] for i in range(len(samples))], merged, coarse_seconds=seconds
        )

    def _merge(self, sample: SegDataSample, probs: Tensor) -> Prediction:
        """Writes the average of an image's augmentations into its first sample."""
        binary = len(sample.seg_logits.data) == 1
        if binary:
            labels = (probs[1] > self.module.decode_head.threshold).long()
        elif self.module.refiner is None:
            labels = probs.argmax(dim=0)
        else:
            # by the rule that decides behind the refiner, or its change would pass for the refiner's
            classes = self.module.find_classes(len(probs))
            threshold = classes.threshold
            labels = decide_labels(probs, background_index=classes.background, background_threshold=threshold)
        sample.set_data(
            {
                'pred_sem_seg': PixelData(data=labels[None]),
                'seg_logits': PixelData(data=probs[1:] if binary else probs),
            }
        )
        return Prediction(probs, labels)


def clearest_view(views: Sequence[SegDataSample]) -> int:
    """The augmentation from which the picture is best recovered: the least enlarged that loses nothing.

    Where all are smaller than the picture, the largest of them; of two alike the one that is not flipped.
    """

    def loss(view: SegDataSample) -> tuple[bool, float, bool]:
        sides = zip(view.img_shape, view.ori_shape, strict=False)
        scale = math.prod(side / original for side, original in sides)
        return scale < 1, abs(math.log(scale)), bool(view.metainfo.get('flip'))

    return min(range(len(views)), key=lambda i: loss(views[i]))
