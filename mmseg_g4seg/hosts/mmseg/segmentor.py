"""The wrapper that puts a refiner behind any mmseg segmentor.

Shapes: B images, C classes, H W image size, Hp Wp padded input.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_g4seg.diffusion.loading import loaded_once
from mmseg_g4seg.ops.clock import device_seconds
from mmseg_g4seg.ops.masks import changed_pixels
from mmseg_g4seg.ops.precision import own_precision
from mmseg_g4seg.ops.scores import ScoreType, binary_probs, check_score_type, scores_to_probs
from mmseg_g4seg.prediction import ClassList, ClassName, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner

from .class_names import find_classes
from .images import image_key, recover_image
from .mmdetection import register_mmdetection
from .private_names import share_state


@MODELS.register_module()
class RefinedSegmentor(BaseSegmentor):
    """Runs a segmentor, then refines its prediction.

    In each data sample `pred_sem_seg` and `seg_logits` (probabilities, (C, H, W)) are the refined ones. The
    segmentor's own prediction is `coarse_sem_seg`, and those of a chain's refiners are `stage0_sem_seg` and so on. The
    metainfo has `stage_names`, `stage_seconds` and `changed_pixels`.

    The model loads and saves the checkpoints of the plain segmentor: the layers keep their names.

    Args:
        segmentor: config of the coarse model, or the built model.
        refiner: config of the refiner, or the built one; with None, predictions stay bit-identical.
        score_type: what the coarse model's `seg_logits` hold (see `ScoreType`).
        class_names: names of the C classes; default: the checkpoint's, else those of the tested data set.
        classes: options of `ClassList` (`background`, `threshold`, `known`, `palette`, `names`). They override what
            checkpoint, data set and refiner say.
        data_preprocessor: of the segmentor, if its own config has none. mmengine's Runner passes it on from the top
            level of a config.
        pretrained: unused; mmseg's `init_model` sets it on every model.
        train_cfg: likewise.
        init_cfg: overrides the segmentor's own.

    Raises:
        ValueError: if the score type is unknown, or the segmentor states another one.
        TypeError: if `class_names` is a text.
    """

    def __init__(
        self,
        segmentor: 'dict | BaseSegmentor',
        refiner: 'dict | Refiner | None' = None,
        score_type: ScoreType = 'logits',
        class_names: Sequence[ClassName] | None = None,
        classes: Mapping[str, Any] | None = None,
        data_preprocessor: 'dict | nn.Module | None' = None,
        pretrained: None = None,
        train_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        check_score_type(score_type)
        if isinstance(class_names, str):  # a file, as SourceSegmentor takes it; its letters would be names
            raise TypeError(f'class_names: expected a list of names, got the text {class_names!r}')
        # one prior where a segmentor reads its masks in the one that refines them: they move together
        with loaded_once():
            built = segmentor if isinstance(segmentor, nn.Module) else _build(segmentor, data_preprocessor)
            built_refiner = build_refiner(refiner)
        own_type = getattr(type(built), 'score_type', score_type)
        if refiner is not None and own_type != score_type:
            # probabilities taken for logits are all as good as equal, and refined as if nothing were sure
            raise ValueError(
                f'score_type: expected {own_type!r}, which {type(built).__name__} gives, got {score_type!r}; '
                f'--score-type {own_type} says it beside --refiner'
            )
        super().__init__()
        share_state(self, built)
        # an attribute, not a child: as a child of itself it would be walked for ever
        object.__setattr__(self, 'segmentor', built)
        if init_cfg is not None:
            # weights are initialised by the segmentor's rules, see init_weights
            built.init_cfg = init_cfg
        self.score_type = score_type
        self.class_names = class_names
        self.classes = dict(classes or {})
        self.refiner = built_refiner

    def __getattr__(self, name: str) -> Any:
        """Answers for the wrapped segmentor (`out_channels`, `align_corners`, ...)."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            # while copy or pickle build the object it has no segmentor yet, and would ask for it without end
            if name == 'segmentor':
                raise
            return getattr(self.segmentor, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> 'RefinedSegmentor':
        """A copy of the segmentor, with the same refiner: that is frozen, and gigabytes; EMAHook copies every model."""
        memo[id(self.refiner)] = self.refiner
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def train(self, mode: bool = True) -> 'RefinedSegmentor':
        """Sets the mode of the segmentor and of its layers."""
        # not super().train: the segmentor is no child, and may freeze layers in a train of its own
        self.training = mode
        self.segmentor.train(mode)
        return self

    def init_weights(self) -> None:
        """Initialises the segmentor by its own rules."""
        self.segmentor.init_weights()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Loads what lies in no layer, by the segmentor's own rules for older versions."""
        self.segmentor._load_from_state_dict(*args, **kwargs)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.segmentor._save_to_state_dict(*args, **kwargs)

    def extract_feat(self, inputs: Tensor) -> Any:
        """The segmentor's features of (B, 3, Hp, Wp) inputs."""
        return self.segmentor.extract_feat(inputs)

    def encode_decode(self, inputs: Tensor, batch_data_samples: list) -> Tensor:
        """The segmentor's scores of (B, 3, Hp, Wp) inputs: (B, C, Hp, Wp)."""
        return self.segmentor.encode_decode(inputs, batch_data_samples)

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """The segmentor's losses for (B, 3, Hp, Wp) inputs; the refiner has no part in training."""
        return self.segmentor.loss(inputs, data_samples)

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Any:
        return self.segmentor._forward(inputs, data_samples)

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Predicts, then refines: (B, 3, Hp, Wp) normalised, padded inputs -> B data samples."""
        samples, seconds = self.predict_coarse(inputs, data_samples)
        if self.refiner is None:
            return samples
        coarse = [self.coarse_prediction(sample) for sample in samples]
        images = [recover_image(x, s.metainfo, self.data_preprocessor) for x, s in zip(inputs, samples, strict=True)]
        return self.refine_samples(samples, images, coarse, coarse_seconds=seconds / len(samples))

    def predict_coarse(self, inputs: Tensor, data_samples: list | None) -> tuple[list[SegDataSample], float]:
        """Runs the coarse model alone on (B, 3, Hp, Wp) inputs; also says how many seconds it took."""
        start = device_seconds([inputs])
        samples = self.segmentor.predict(inputs, data_samples)
        return samples, device_seconds([inputs]) - start

    def coarse_prediction(self, sample: SegDataSample) -> Prediction:
        """Reads a sample's scores (C, H, W) and labels (1, H, W); a one-channel head becomes two classes."""
        scores, labels = sample.seg_logits.data, sample.pred_sem_seg.data.squeeze(0).long()
        # mmseg stores the sigmoid of a one-channel head, whatever the score type of others
        probs = binary_probs(scores) if len(scores) == 1 else scores_to_probs(scores, self.score_type)
        return Prediction(probs, labels)

    def find_classes(self, count: int) -> ClassList:
        """What the refiner is told of the `count` classes that are scored.

        Raises:
            ValueError: if they have no names, another number of them, or an option does not fit.
        """
        return find_classes(
            count,
            names=self.class_names,
            dataset_meta=getattr(self, 'dataset_meta', None),
            options={**getattr(self.refiner, 'class_options', {}), **self.classes},
        )

    def refine_samples(
        self,
        samples: list[SegDataSample],
        images: list[Tensor],
        coarse: list[Prediction],
        *,
        coarse_seconds: float,
    ) -> list[SegDataSample]:
        """Refines predictions of one batch and writes them into their data samples.

        Args:
            samples: B, with the coarse prediction of each.
            images: B times (3, H, W) float RGB in [0, 1], each of the size of its prediction.
            coarse: B predictions, (C, H, W) and (H, W).
            coarse_seconds: that the coarse model took for an image.
        """
        assert self.refiner is not None
        classes = self.find_classes(len(coarse[0].probs))
        self.refiner.to(images[0].device)
        keys = [image_key(sample.metainfo) for sample in samples]
        binary = [len(sample.seg_logits.data) == 1 for sample in samples]
        for sample in samples:
            del sample.seg_logits  # the coarse probabilities stand for them: 1.2 GB of 150 classes at 2048 x 1024
        with own_precision(images[0].device):
            stages = self.refiner.refine_stages(images, coarse, classes, keys=keys)
        seconds = {'coarse': coarse_seconds, **{s.name: s.seconds / len(samples) for s in stages}}
        for i, sample in enumerate(samples):
            self._write(sample, coarse[i], [stage.predictions[i] for stage in stages], binary=binary[i])
            changed = int((sample.pred_sem_seg.data != sample.coarse_sem_seg.data).sum())
            names = [stage.name for stage in stages]
            sample.set_metainfo({'stage_names': names, 'stage_seconds': dict(seconds), 'changed_pixels': changed})
        return samples

    def _write(self, sample: SegDataSample, coarse: Prediction, stages: list[Prediction], *, binary: bool) -> None:
        """Writes what the stages made of a sample's coarse prediction into it, the last as its prediction."""
        labels, probs = sample.pred_sem_seg.data, stages[-1].probs
        # (1, H, W) of the coarse model's own type: a one-channel head's labels are floats
        maps = [self._labels(coarse, stage, binary).to(labels).view_as(labels) for stage in stages]
        fields = {f'stage{number}_sem_seg': refined for number, refined in enumerate(maps)}
        fields |= {'coarse_sem_seg': labels, 'pred_sem_seg': maps[-1], 'seg_logits': probs[1:] if binary else probs}
        sample.set_data({name: PixelData(data=data) for name, data in fields.items()})

    def _labels(self, before: Prediction, after: Prediction, binary: bool) -> Tensor:
        """The refined labels; a one-channel head decides by its own threshold where it changed."""
        if not binary:
            return after.label_map
        changed = changed_pixels(before.probs, after.probs)
        return torch.where(changed, (after.probs[1] > self.segmentor.decode_head.threshold).long(), before.label_map)


def _build(segmentor: dict, data_preprocessor: 'dict | nn.Module | None') -> BaseSegmentor:
    """Builds a segmentor; one that needs MMDetection registers it, or says what is missing."""
    register_mmdetection(segmentor)
    if data_preprocessor is not None:
        segmentor = {'data_preprocessor': data_preprocessor, **segmentor}
    return MODELS.build(segmentor)
