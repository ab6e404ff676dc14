"""Label files with ids that do not belong fail where they are read, not silently in the metric.

Shapes: H W image size.
"""

from typing import Any

import mmcv
import mmengine.fileio as fileio
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from mmseg_g4seg.prediction import IGNORE_INDEX

from .label_rules import LabelRules, UnexpectedIds

REMEDY = (
    'If the file has other ids than the config says (raw ids for training ids, or a zero that is ignored), change the '
    "data set's label_ids or reduce_zero_label, or convert the files (tools/dataset_converters); "
    'g4seg check-dataset CONFIG shows the ids of all files'
)


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """mmseg's `LoadAnnotations`, but an id of no class is an error.

    mmseg's metric leaves such pixels out without a word, and a 16-bit id wraps around at 256.

    Args:
        num_classes: of the data set.
        ignore_index: id that is allowed besides.
        kwargs: as for `LoadAnnotations`.

    Raises:
        ValueError: on loading, if after `reduce_zero_label` and `label_map` an id is neither below
            `num_classes` nor `ignore_index`. It names the file, the ids, what was expected and the remedy.
    """

    def __init__(self, *, num_classes: int, ignore_index: int = IGNORE_INDEX, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes, self.ignore_index = num_classes, ignore_index

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        """Adds `gt_seg_map`, (H, W) uint8."""
        content = fileio.get(results['seg_map_path'], backend_args=self.backend_args)
        raw = mmcv.imfrombytes(content, flag='unchanged', backend=self.imdecode_backend)
        if raw.ndim == 3 and raw.shape[-1] == 1:
            raw = raw[..., 0]  # (H, W)
        try:
            results['gt_seg_map'] = self._rules(results).apply(raw)
        except UnexpectedIds as error:
            raise ValueError(f'{results["seg_map_path"]}: {error}. {REMEDY}') from error
        except ValueError as error:
            raise ValueError(f'{results["seg_map_path"]}: {error}') from error
        results['seg_fields'].append('gt_seg_map')

    def _rules(self, results: dict[str, Any]) -> LabelRules:
        reduce_zero_label = results.get('reduce_zero_label', False)
        if self.reduce_zero_label not in (None, reduce_zero_label):
            raise ValueError(
                f'reduce_zero_label is {self.reduce_zero_label} in the pipeline and {reduce_zero_label} in the data '
                'set: set it in the data set only'
            )
        return LabelRules(self.num_classes, self.ignore_index, reduce_zero_label, results.get('label_map'))

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, num_classes={self.num_classes}, ignore_index={self.ignore_index})'
