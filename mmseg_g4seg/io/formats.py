"""The formats of mask files, by name, and what a reader has to be told beside the name."""

from dataclasses import dataclass, field

from mmseg_g4seg.ops.masks import BORDER_WIDTH
from mmseg_g4seg.ops.scores import ScoreType
from mmseg_g4seg.prediction import ClassList

from .background_rule import BackgroundRule
from .label_files import BinaryPNG, IndexPNG, PalettePNG
from .mask_files import MaskFormat
from .object_masks import is_object_mask, mask_values
from .score_files import ScoreFile
from .seed_files import CLIPESSeed, DiffSegmenterSeed, IRNSeed, SEAMCRFSeed, SEAMSeed, SeedFile
from .storage import AnyPath

LABELS: dict[str, type[MaskFormat]] = {'index-png': IndexPNG, 'palette-png': PalettePNG, 'binary-png': BinaryPNG}
SCORES = {'npz': '.npz', 'npy': '.npy'}
SEEDS: dict[str, type[SeedFile]] = {
    'irn': IRNSeed,
    'clip-es': CLIPESSeed,
    'seam': SEAMSeed,
    'seam-crf': SEAMCRFSeed,
    'diffsegmenter': DiffSegmenterSeed,
}
FORMATS = (*LABELS, *SCORES, *SEEDS)


@dataclass(frozen=True)
class Reading:
    """How mask files are read.

    Attributes:
        format: one of `FORMATS`.
        score_type: what `.npz` and `.npy` hold.
        rule: background of seeds.
        soften: how labels become probabilities, see `make_prediction`.
        any_size: whether scores may lie on another grid than the image's.
        present_only: of scores, whether to keep those of classes alone that are somewhere the most probable; they
            are brought to a sum of 1.
    """

    format: str
    score_type: ScoreType = 'softmax'
    rule: BackgroundRule = field(default_factory=BackgroundRule)
    soften: float = BORDER_WIDTH
    any_size: bool = False
    present_only: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.soften <= 1:
            raise ValueError(f'soften: expected a share of the longer side in [0, 1], got {self.soften}')


def build_format(
    name: str,
    classes: ClassList,
    *,
    score_type: ScoreType = 'softmax',
    rule: BackgroundRule | None = None,
    present_only: bool = False,
) -> MaskFormat:
    """Builds a format.

    Args:
        name: one of `FORMATS`.
        classes: of the masks.
        score_type: what `.npz` and `.npy` hold.
        rule: background of seeds.
        present_only: see `Reading`.

    Raises:
        ValueError: if the name is not known, or the classes do not fit the format.
    """
    if name in LABELS:
        return LABELS[name](classes)
    if name in SCORES:
        return ScoreFile(classes, score_type=score_type, present_only=present_only, suffix=SCORES[name])
    if name in SEEDS:
        return SEEDS[name](classes, rule)
    raise ValueError(f'format: expected one of {", ".join(FORMATS)}, got {name!r}')


def label_format(path: AnyPath, classes: ClassList) -> MaskFormat:
    """What reads a PNG of labels that comes alone: an object in 0 and 255, or class indices.

    Raises:
        ValueError: if it has 0 and 255 alone, and there are other than two classes.
    """
    return build_format('binary-png' if is_object_mask(mask_values([path]), len(classes)) else 'index-png', classes)
