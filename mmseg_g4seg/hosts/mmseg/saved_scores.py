"""A segmentor whose predictions lie in files: any model's scores go through mmseg's evaluation.

Shapes: B images, C classes, K classes stored, h w stored grid, H W image size, Hp Wp padded input.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_g4seg.io.image_headers import frame_note
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.io.object_masks import OBJECT, is_object_mask, mask_values
from mmseg_g4seg.io.safe_arrays import read_arrays
from mmseg_g4seg.io.score_files import dense_scores

SUFFIXES = ('.npz', '.npy', '.png')


def read_scores(path: Path, num_classes: int, *, object_masks: bool = False) -> Tensor:
    """Reads the scores of one image.

    Formats: `.npz` with `classes` (K,) and `probs` (K, h, w), uint8 in 1/255 or float, other classes
    being 0; `.npz` or `.npy` with one array (C, h, w); `.png` with 8-bit labels (h, w), which become
    scores of 0 and 1.

    Args:
        path: of the file.
        num_classes: C.
        object_masks: in a `.png`, 255 is the second of two classes, not what has no label.

    Returns:
        (C, h, w) float32.

    Raises:
        ValueError: if the file does not hold scores of C classes; names the file.
    """
    try:
        if path.suffix == '.png':
            labels = read_index_png(path, num_classes)
            labels = (labels == OBJECT).long() if object_masks else labels
            scores = torch.zeros(num_classes, *labels.shape)
            for c in labels[labels < num_classes].unique().tolist():
                scores[c] = labels == c
            return scores
        return dense_scores(read_arrays(path), num_classes)[0]
    except Exception as error:
        raise ValueError(f'{path}: {error}') from error


@MODELS.register_module()
class SavedScoresSegmentor(BaseSegmentor):
    """Reads another model's saved scores by image name, in place of computing them.

    Its scores are probabilities where the files hold probabilities: wrap it with
    `RefinedSegmentor(score_type='softmax')`. It has no weights, so `tools/test.py` needs no checkpoint.

    Args:
        scores_dir: folder of one file an image, `NAME.npz`, `NAME.npy` or `NAME.png` for the image
            `NAME.*`.
        num_classes: C.
        normalise: make scores sum to 1 over classes after resizing.
        data_preprocessor: as for any segmentor; the wrapper recovers the picture through it.
        init_cfg: as for every mmengine model.
    """

    def __init__(
        self,
        scores_dir: str,
        num_classes: int,
        normalise: bool = True,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.scores_dir = Path(scores_dir)
        if not self.scores_dir.is_dir():
            raise FileNotFoundError(f'scores_dir: no such folder: {self.scores_dir}')
        self.num_classes = self.out_channels = num_classes
        self.object_masks = is_object_mask(mask_values(sorted(self.scores_dir.glob('*.png'))), num_classes)
        self.normalise = normalise
        self.align_corners = False

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Looks up each sample's scores, (C, H, W) once resized to `ori_shape`; inputs (B, 3, Hp, Wp) are not used."""
        if data_samples is None:
            raise ValueError('SavedScoresSegmentor finds scores by image name: expected data samples with img_path')
        for sample in data_samples:
            scores = self._scores(sample.metainfo).to(inputs.device)
            labels = scores.argmax(dim=0, keepdim=True)
            sample.set_data({'seg_logits': PixelData(data=scores), 'pred_sem_seg': PixelData(data=labels)})
        return data_samples

    def _scores(self, metainfo: dict[str, Any]) -> Tensor:
        stem = Path(str(metainfo['img_path'])).stem
        paths = [self.scores_dir / f'{stem}{suffix}' for suffix in SUFFIXES]
        path = next((p for p in paths if p.is_file()), None)
        if path is None:
            raise FileNotFoundError(f'no scores for image {stem!r}: expected {paths[0]} (or {", ".join(SUFFIXES[1:])})')
        scores = read_scores(path, self.num_classes, object_masks=self.object_masks)
        size = tuple(metainfo['ori_shape'])[:2]
        if note := frame_note(Path(str(metainfo['img_path'])), size, (scores.shape[-2], scores.shape[-1])):
            raise ValueError(f'{path}: expected scores of a picture of {size}, got {tuple(scores.shape)}{note}')
        if scores.shape[1:] != size:
            scores = F.interpolate(scores[None], size, mode='bilinear', align_corners=False)[0]
        if not self.normalise:
            return scores
        total = scores.sum(dim=0)  # (H, W)
        # where a .png has no label, 255, all classes are as probable: sums of 0 are no probabilities for a refiner
        return scores.div_(total.clamp_min(1e-12)).masked_fill_(total == 0, 1 / self.num_classes)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Refuses: (B, 3, Hp, Wp) inputs have no features here."""
        raise TypeError('SavedScoresSegmentor has no features: its scores come from files')

    encode_decode = extract_feat

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """Refuses: (B, 3, Hp, Wp) inputs train nothing here."""
        raise TypeError('SavedScoresSegmentor cannot be trained: its scores come from files')

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        raise TypeError('SavedScoresSegmentor needs data samples: use predict')
