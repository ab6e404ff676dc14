"""A segmentor that has its masks from a source (SeeDiff, SCLIP, GroupViT ...): zero-shot segmentation in an mmseg run.

Shapes: B images, C classes, H W image size, Hp Wp padded input.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_g4seg.coarse import ClassFinder, CoarseSource, build_source
from mmseg_g4seg.coarse.attention import AttentionSource
from mmseg_g4seg.io.class_files import read_synonyms
from mmseg_g4seg.ops.masks import labelled_pixels, present_classes
from mmseg_g4seg.ops.precision import own_precision
from mmseg_g4seg.ops.scores import ScoreType
from mmseg_g4seg.prediction import ClassList, ClassName
from mmseg_g4seg.registry import build, names_of, parts_of

from .class_names import find_classes
from .images import image_key, recover_image

ImageClasses = Literal['dataset', 'label']


@MODELS.register_module()
class SourceSegmentor(BaseSegmentor):
    """Predicts by a source of coarse masks, such as SCLIP or SeeDiff, from the picture and the names of its classes.

    Its weights are the source's, which are loaded by name: none is in the state dict, so `tools/test.py` takes no
    checkpoint. The source resizes by itself: leave `Resize` out of the test pipeline. Its scores are probabilities:
    wrap it with `RefinedSegmentor(score_type='softmax')`.

    A config names the source itself, and gives its options beside the segmentor's, see `register_source`:

        model = dict(type='ClipSegmentor', method='sclip', logit_scale=65.0, num_classes=21)
        model = dict(type='DiffusionSegmentor', method='seediff', prior='tiny', num_classes=21)

    Args:
        source: what `load_source` takes, such as `sclip`; a source's config, or a built source.
        num_classes: C.
        image_classes: which classes an image is asked about. `dataset`: all. `label`: those of its label, which a
            figure must say, since no other method knows them. Or a `ClassFinder`, built or its config, such as
            `dict(type='CLIPClassFinder')`.
        class_names: C names; or a file of names and synonyms (`io.class_files.read_synonyms`), of which the data set's
            background keeps its place; when not given, the tested data set's names.
        classes: options of `ClassList` (`background`, `threshold`, `known`) over what the data set says.
        data_preprocessor: as for any segmentor; the picture is recovered through it.
        init_cfg: as for every mmengine model; unused.

    Raises:
        ValueError: if there is no such source or option, or the model lacks what it reads; before any image is.
    """

    score_type: ClassVar[ScoreType] = 'softmax'

    def __init__(
        self,
        source: 'str | Mapping[str, Any] | CoarseSource',
        num_classes: int,
        image_classes: 'ImageClasses | Mapping[str, Any] | ClassFinder' = 'dataset',
        class_names: Sequence[ClassName] | str | None = None,
        classes: Mapping[str, Any] | None = None,
        data_preprocessor: 'dict | nn.Module | None' = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if image_classes not in ('dataset', 'label') and not isinstance(image_classes, Mapping | ClassFinder):
            raise ValueError(f"image_classes: expected 'dataset', 'label' or a ClassFinder, got {image_classes!r}")
        self.image_classes = image_classes
        if isinstance(image_classes, Mapping):
            self.image_classes = build(image_classes, ClassFinder, where='model.image_classes')
        self.num_classes = self.out_channels = num_classes
        # a file calls the data set's classes otherwise, its background by words that say nothing of a background
        named = {'names': read_synonyms(class_names)} if isinstance(class_names, str) else {}
        self.class_names = None if isinstance(class_names, str) else class_names
        self.classes, self.align_corners = {**named, **(classes or {})}, False
        # last, since it may be gigabytes
        self.source = build_source(source, {})

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Segments pictures of any sizes: (B, 3, Hp, Wp) normalised, padded inputs -> B data samples.

        Raises:
            ValueError: if an image's classes are to be those of its label, and it has none.
        """
        samples = [SegDataSample() for _ in inputs] if data_samples is None else data_samples
        for part in (self.source, self.image_classes):
            if isinstance(part, CoarseSource | ClassFinder):
                part.to(inputs.device)
        meta = getattr(self, 'dataset_meta', None)
        classes = find_classes(self.num_classes, names=self.class_names, dataset_meta=meta, options=self.classes)
        for pixels, sample in zip(inputs, samples, strict=True):
            image = recover_image(pixels, sample.metainfo, self.data_preprocessor)
            key = image_key(sample.metainfo)
            with own_precision(inputs.device):
                found = self.source.predict_present(image, classes, self._present(image, sample, classes), key=key)
            labels = found.label_map[None]  # (1, H, W)
            sample.set_data({'seg_logits': PixelData(data=found.probs), 'pred_sem_seg': PixelData(data=labels)})
        return samples

    def _present(self, image: Tensor, sample: SegDataSample, classes: ClassList) -> list[int]:
        """Indices of the classes that an image (3, H, W) is asked about."""
        if isinstance(self.image_classes, ClassFinder):
            return self.image_classes(image, classes)
        if self.image_classes == 'dataset':
            return list(range(len(classes)))
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f"{sample.metainfo.get('img_path', 'image')}: image_classes='label' reads the classes of an image's "
                "label, and it has none: expected dict(type='LoadAnnotations') in the test pipeline"
            )
        label_map = sample.gt_sem_seg.data[0].long()
        shown = torch.where(labelled_pixels(label_map, len(classes)), label_map, -1)
        return present_classes(shown, len(classes), background_index=classes.background)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Refuses: (B, 3, Hp, Wp) inputs have no features here."""
        raise TypeError('SourceSegmentor has no features: its masks come from its source')

    encode_decode = extract_feat

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """Refuses: (B, 3, Hp, Wp) inputs train nothing here."""
        raise TypeError('SourceSegmentor cannot be trained: it has the weights of its source')

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        raise TypeError('SourceSegmentor gives data samples: use predict')


def build_segmentor(source: Mapping[str, Any], options: Mapping[str, Any]) -> SourceSegmentor:
    """Builds a segmentor of a source whose options stand beside its own.

    Args:
        source: its config; what `options` has for it goes there.
        options: of both.
    """
    own = set(inspect.signature(SourceSegmentor).parameters) - {'source'}
    of_source = {name: value for name, value in options.items() if name not in own}
    return SourceSegmentor({**source, **of_source}, **{name: options[name] for name in options if name in own})


def register_source(name: str) -> None:
    """Lets an mmseg config name a source as a segmentor: `type='ClipSegmentor'` builds a `SourceSegmentor` of it.

    Args:
        name: of the source's class, `register`ed.
    """
    MODELS.register_module(name=name, module=lambda **options: build_segmentor({'type': name}, options))


for _name in names_of(CoarseSource):
    register_source(_name)


@MODELS.register_module(name='DiffusionSegmentor')
def build_diffusion_segmentor(method: str = 'seediff', **options: Any) -> SourceSegmentor:
    """Builds a segmentor whose source reads a prior's attention: by `seediff`, `diffsegmenter` or `daam`.

    Raises:
        ValueError: if there is no such method.
    """
    methods = {name: config for part in parts_of(AttentionSource) for name, config in part.methods().items()}
    name = str(method).lower()
    if name not in methods:
        raise ValueError(f'method: expected one of {sorted(methods)}, got {method!r}')
    return build_segmentor(methods[name], options)
