"""NightCity: night streets with Cityscapes' 19 classes."""

import logging
from pathlib import Path
from typing import Any, Literal, get_args

from mmengine.logging import print_log
from mmseg.datasets import CityscapesDataset
from mmseg.registry import DATASETS

from .checked_pairs import CheckedPairs
from .cityscapes_ids import LABEL_MAP
from .pairs import Info

LabelIds = Literal['labelIds', 'trainIds']
SplitName = Literal['train', 'val']

STRAY_NAMES = {'train': (), 'val': ('Dubai_0016',)}
"""Names, without suffix, of files that lie in a split but do not belong to it."""


@DATASETS.register_module()
class NightCityDataset(CheckedPairs, CityscapesDataset):
    """NightCity (Tan et al., TIP 2021) and NightCity-fine (Wei et al., ICCV 2023), 1024 x 512.

    The original release has `NightCity-images/images/{train,val}/NAME.png` and
    `NightCity-label/label/{train,val}/NAME_labelIds.png` with Cityscapes' 34 raw ids, NightCity-fine
    `{train,val}/img/NAME.png` and `{train,val}/lbl/NAME_trainIds.png`. Copies of either carry other suffixes, so
    nothing is derived from them. A training file in the validation list is dropped, so that 1,299 images remain.

    Args:
        split: `train` or `val`; says whether the stray file is dropped.
        label_ids: ids in the label files: `labelIds`, 0 to 33, mapped to 19, or `trainIds`, 0 to 18; 255 is
            ignored in both.
        img_suffix: how image files end.
        seg_map_suffix: how label files end.
        kwargs: as for mmseg's `BaseSegDataset`.

    Raises:
        ValueError: if `seg_map_suffix` says one kind of ids and `label_ids` the other, or with
            `reduce_zero_label`, which would take the road for what is ignored.
        FileNotFoundError: see `CheckedPairs`.
    """

    def __init__(
        self, *, split: SplitName, label_ids: LabelIds, img_suffix: str, seg_map_suffix: str, **kwargs: Any
    ) -> None:
        _check_choice('split', split, get_args(SplitName))
        _check_choice('label_ids', label_ids, get_args(LabelIds))
        _check_suffix(seg_map_suffix, label_ids)
        if kwargs.get('reduce_zero_label'):
            raise ValueError(
                'reduce_zero_label: expected False, got True: 0 is the road in trainIds, and in labelIds is ignored '
                'already; leave it out'
            )
        self.split, self.label_ids = split, label_ids
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    def load_data_list(self) -> list[Info]:
        """Lists the images, less the stray ones, with the map from raw ids."""
        infos = super().load_data_list()
        strays = {name + self.img_suffix for name in STRAY_NAMES[self.split]}
        kept = [info for info in infos if Path(info['img_path']).name not in strays]
        if len(kept) < len(infos):
            print_log(
                f'NightCityDataset: {len(infos) - len(kept)} training file in the {self.split} split dropped '
                f'({", ".join(sorted(strays))}); {len(kept)} images remain',
                logger='current',
                level=logging.INFO,
            )
        label_map = self._label_map()
        return [{**info, 'label_map': label_map} for info in kept]

    def _label_map(self) -> dict[int, int] | None:
        """From the ids in the files to those of the classes asked for; `self.label_map` starts from training ids."""
        if self.label_ids == 'trainIds':
            return self.label_map
        chosen = self.label_map or {}
        return {raw: chosen.get(train_id, train_id) for raw, train_id in LABEL_MAP.items()}


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f'{name}: expected one of {choices}, got {value!r}')


def _check_suffix(suffix: str, label_ids: str) -> None:
    said = [kind for kind in get_args(LabelIds) if kind.lower() in suffix.lower()]
    if said and label_ids not in said:
        raise ValueError(
            f'seg_map_suffix {suffix!r} says {said[0]}, but label_ids is {label_ids!r}: set label_ids={said[0]!r}, or '
            f'the suffix of files with {label_ids} (g4seg convert-dataset nightcity makes _trainIds.png)'
        )
