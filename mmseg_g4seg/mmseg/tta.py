"""Test-time augmentation with one refinement, after the augmented predictions are merged."""

from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from ..refiners import Prediction
from ..refiners.base import device_seconds
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

    def test_step(self, data: dict | list) -> list[SegDataSample]:
        """Predicts every augmentation without refining, merges, refines the merged prediction."""
        if isinstance(data, dict):
            count = len(next(iter(data.values())))
            data = [{key: value[i] for key, value in data.items()} for i in range(count)]
        views = [self.module.data_preprocessor(view, False) for view in data]
        start = device_seconds(views[0]['inputs'])
        predicted = [self.module.predict_coarse(view['inputs'], view['data_samples'])[0] for view in views]
        images = [
            recover_image(x, s.metainfo, self.module.data_preprocessor)
            for x, s in zip(views[0]['inputs'], predicted[0], strict=True)
        ]
        merged = [self._merge(list(samples)) for samples in zip(*predicted, strict=True)]
        seconds = (device_seconds(views[0]['inputs']) - start) / len(merged)
        if self.module.refiner is None:
            return [sample for sample, _ in merged]
        samples, coarse = [list(column) for column in zip(*merged, strict=True)]
        return self.module.refine_samples(samples, images, coarse, coarse_seconds=seconds)

    def _merge(self, samples: list[SegDataSample]) -> tuple[SegDataSample, Prediction]:
        """Averages the augmentations of one image into its first sample."""
        probs = torch.stack([self.module.coarse_prediction(sample).probs for sample in samples]).mean(dim=0)
        sample = samples[0]
        binary = sample.seg_logits.data.shape[0] == 1
        labels = (probs[1] > self.module.decode_head.threshold).long() if binary else probs.argmax(dim=0)
        sample.set_data(
            {
                'pred_sem_seg': PixelData(data=labels[None]),
                'seg_logits': PixelData(data=probs[1:] if binary else probs),
            }
        )
        return sample, Prediction(probs, labels)
