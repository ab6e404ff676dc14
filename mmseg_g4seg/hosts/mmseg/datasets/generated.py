"""Pictures with masks that `g4seg generate` wrote."""

from pathlib import Path
from typing import Any

from mmseg.registry import DATASETS

from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.ops.palettes import voc_palette

from .checked_pairs import CheckedPairs


@DATASETS.register_module()
class GeneratedPairs(CheckedPairs):
    """Images, labels and `classes.txt` of one folder; the palette is VOC's colour map."""

    def __init__(self, data_root: str, metainfo: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Args:
            data_root: folder of the data set.
            metainfo: over what the folder says, such as another palette.
            kwargs: as for mmseg's `BaseSegDataset`.

        Raises:
            FileNotFoundError: if there is no finished data set.
        """
        file = Path(data_root) / 'classes.txt'
        if not file.is_file():
            raise FileNotFoundError(f'{file} is missing: expected the folder of a run of `g4seg generate` that is done')
        names = read_classes(str(file)).labels
        known = {'classes': tuple(names), 'palette': voc_palette(len(names)).tolist()}
        given = {
            'data_prefix': {'img_path': 'images', 'seg_map_path': 'labels'},
            'img_suffix': '.png',
            'seg_map_suffix': '.png',
            **kwargs,
        }
        super().__init__(data_root=data_root, metainfo={**known, **(metainfo or {})}, **given)
