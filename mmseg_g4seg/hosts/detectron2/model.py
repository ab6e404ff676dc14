"""The wrapper that puts a refiner behind any Detectron2 model.

Shapes: C classes, H W output size.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch import Tensor, nn

from mmseg_g4seg.hosts.arrays import read_refiner_config
from mmseg_g4seg.ops.clock import device_seconds
from mmseg_g4seg.ops.precision import own_precision
from mmseg_g4seg.ops.scores import ScoreType
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

from .class_names import read_metadata
from .config import NODE, check_outputs, check_soften
from .images import check_format
from .outputs import OutputRefiner
from .queries import QueryRecorder
from .semantic import check_score_type, find_score_type


@META_ARCH_REGISTRY.register()
class RefinedModel(nn.Module):
    """Runs a model, then refines what it predicts.

    Each output has the refined `sem_seg` (probabilities (C, H, W) float32), the plain model's as `sem_seg_coarse`, the
    label maps of a chain's refiners as `sem_seg_stages` and `sem_seg_seconds`; `panoptic_seg` and `instances` likewise.

    Checkpoints are those of the plain model, in both directions. In training, and without a refiner, the outputs are
    the plain model's own.
    """

    @configurable
    def __init__(
        self,
        model: nn.Module,
        refiner: 'Refiner | Mapping[str, Any] | str | Path | None' = None,
        *,
        input_format: str = '',
        dataset: str = '',
        score_type: str = 'auto',
        outputs: Sequence[str] = ('sem_seg',),
        soften: float = SEGMENT_BORDER,
    ) -> None:
        """Args:
            model: the plain model, built.
            refiner: built, or what `load_refiner` takes.
            input_format: channel order of the inputs, `BGR` or `RGB`; when not given, the model's own.
            dataset: registered name of the data set whose classes the model predicts; when not given, the model's
                own metadata.
            score_type: what `sem_seg` holds, a `ScoreType` or `auto`.
            outputs: which are refined, out of `sem_seg`, `panoptic_seg`, `instances`.
            soften: how wide borders of hard segments and of instances are unsure, see `refine_panoptic`.

        Raises:
            FileNotFoundError: if there is no such refiner.
            ValueError: if an option is not known; names its key in the config.
        """
        super().__init__()
        self.model = model
        # a new module would be in training, and give the plain outputs of a model that was made ready to predict
        self.training = model.training
        self.refiner = read_refiner(refiner)
        self.dataset = dataset
        self.outputs, self.soften = check_outputs(outputs), check_soften(soften)
        self.input_format = input_format or getattr(model, 'input_format', '')
        self.score_type = score_type
        self._recorder: QueryRecorder | None = None
        if self.refiner is None:
            return
        check_format(self.input_format)
        if 'sem_seg' in self.outputs:
            self.score_type = find_score_type(score_type, model)
        self._refine = OutputRefiner(
            self.refiner,
            outputs=self.outputs,
            input_format=self.input_format,
            score_type=cast(ScoreType, self.score_type),
            metadata=self._metadata,
            soften=self.soften,
        )
        if 'panoptic_seg' in self.outputs:
            self._recorder = QueryRecorder(model)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The arguments that a config's `MODEL.G4SEG` gives; see `add_g4seg_config`."""
        node = cfg.MODEL.G4SEG
        # before the model, which takes longest: a misspelt name should not cost its building
        outputs = check_outputs(node.OUTPUTS)
        check_score_type(node.SCORE_TYPE)
        plain = cfg.clone()
        plain.defrost()
        plain.MODEL.META_ARCHITECTURE = plain_architecture(node.META_ARCHITECTURE)
        refiner = read_refiner(node.REFINER or None)
        return {
            'model': build_model(plain),
            'refiner': refiner,
            'input_format': cfg.INPUT.FORMAT,
            'dataset': cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else '',
            'score_type': node.SCORE_TYPE,
            'outputs': outputs,
            'soften': node.SOFTEN,
        }

    def around(self, model: nn.Module) -> 'RefinedModel':
        """The same refiner behind another model.

        Test-time augmentation is refined once, after the views are merged: `refined.around(
        SemanticSegmentorWithTTA(cfg, refined.model))`. A wrapper around the refined model would refine every view.
        The mode is this model's: a new wrapper is in training, where nothing is refined.
        """
        return RefinedModel(
            model,
            self.refiner,
            input_format=self.input_format,
            dataset=self.dataset,
            score_type=self.score_type,
            outputs=self.outputs,
            soften=self.soften,
        ).train(self.training)

    def __getattr__(self, name: str) -> Any:
        """Answers for the plain model (`metadata`, `backbone`, `device`, ...)."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            # while copy builds the object it has no model yet, and would ask for it without end
            if name == 'model':
                raise
            return getattr(self.model, name)

    # Not hooks that put a prefix on keys: heads migrate weights of older versions by what the state dict's `_metadata`
    # says under their own names, and Mask2Former's pixel decoder stayed random with a line in the log.

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The plain model's."""
        return self.model.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Loads into the plain model."""
        return self.model.load_state_dict(*args, **kwargs)

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Tensor]]:
        """The plain model's; the checkpointer knows by these names what a checkpoint may lack (`pixel_mean`)."""
        return self.model.named_buffers(*args, **kwargs)

    def forward(self, batched_inputs: list[dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
        """Predicts, then refines: a dict an image in, as Detectron2's models take it, and a dict an image out.

        Raises:
            ValueError: if an output is not there, names of classes are missing, or scores do not fit.
        """
        if self.training or self.refiner is None:
            return self.model(batched_inputs, *args, **kwargs)
        weights = [next(self.model.parameters())]
        start = device_seconds(weights)
        with self._recorder.recording() if self._recorder else nullcontext(()) as queries:
            outputs = self.model(batched_inputs, *args, **kwargs)
        seconds = (device_seconds(weights) - start) / len(batched_inputs)
        # one an image, or they cannot be told apart
        records = queries if len(queries) == len(outputs) else [None] * len(outputs)
        # not where the scores are: Detectron2 leaves those on the CPU that the GPU had no room for
        device = weights[0].device
        self.refiner.to(device)
        with torch.no_grad(), own_precision(device), _memory_told():
            for inputs, output, own in zip(batched_inputs, outputs, records, strict=True):
                self._refine(inputs, output, device=device, queries=own, coarse_seconds=seconds)
        return outputs

    def _metadata(self) -> Any:
        if self.dataset:
            return read_metadata(self.dataset)
        metadata = getattr(self.model, 'metadata', None)
        if metadata is None:
            raise ValueError(
                'DATASETS.TEST: a refiner needs class names, expected a registered data set that has them; of a '
                'LazyConfig, refined(..., dataset=NAME)'
            )
        return metadata


def read_refiner(source: 'Refiner | Mapping[str, Any] | str | Path | None') -> Refiner | None:
    """Builds what a config calls a refiner.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if it holds no refiner, or an option is not known.
    """
    if source is None or isinstance(source, Refiner):
        return source
    if isinstance(source, Mapping):
        return build_refiner(_plain(source))
    try:
        return build_refiner(read_refiner_config(source))
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f'{NODE}.REFINER ({source}): {error}') from error


def _plain(value: Any) -> Any:
    """A config as mmengine has it: OmegaConf makes lists of the tuples that parts ask for, such as `timesteps`."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    inner = [_plain(item) for item in value]
    return inner if any(isinstance(item, Mapping) for item in inner) else tuple(inner)


def plain_architecture(name: str) -> str:
    """Gives the registration name of a plain model back.

    Raises:
        ValueError: if there is none of that name, or it is the wrapper's own.
    """
    known = [known for known, _ in META_ARCH_REGISTRY if known != RefinedModel.__name__]
    if name not in known:
        raise ValueError(
            f'{NODE}.META_ARCHITECTURE: expected the name that the plain model is registered by, one of '
            f'{sorted(known)}, got {name!r}; if it is of a project, import that first'
        )
    return name


@contextmanager
def _memory_told() -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        # Detectron2 tries again on the CPU what fails with "CUDA out of memory. ": an hour for every image
        raise RuntimeError(
            "the refiner has no room on the GPU: lower the refiner's passes_per_batch or image_size, or give its prior "
            "dtype='float16'"
        ) from error
