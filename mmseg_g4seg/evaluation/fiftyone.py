"""The masks of a run for FiftyOne, in the layout of its `ImageSegmentationDirectory`; FiftyOne is not needed here.

    DIR/data.json              the image of each name: its path; FiftyOne is told by data_path='data.json'
    DIR/coarse/NAME.png ...    a folder a stage, and `truth`: index of the class plus 1, and 0 where nothing is labelled
    DIR/dataset.json           names of the values and of the folders, and each image's figures

Shapes: C classes, H W image size.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.label_files import png_bytes

from .html.pictures import TRUTH
from .records import COARSE, REFINED
from .report import EvaluationReport


def written_folders(folder: Path) -> list[Path]:
    """Where an export into a folder writes, but for the stages between the refiners of a chain."""
    return [folder, *(folder / field for field in (COARSE, REFINED, TRUTH))]


class FiftyOneExport:
    """Takes images one by one; every process of a run may have its own, for one folder.

    Attributes:
        images: path of each image by its name without suffix.
    """

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: that all goes into.
        """
        self.folder = folder
        self.images: dict[str, str] = {}
        self._fields: tuple[str, ...] = ()

    def add(self, image: Path, label_maps: Mapping[str, ArrayLike], truth: ArrayLike, num_classes: int) -> None:
        """Writes the masks of an image.

        Args:
            image: its file, whose name they get.
            label_maps: by stage, (H, W) integer; values outside [0, C) are no class.
            truth: (H, W) integer; likewise.
            num_classes: C.

        Raises:
            ValueError: if another image has the same name without suffix, by which FiftyOne knows images.
        """
        path = str(image.resolve())
        # of `a/1.png` and `b/1.png` one would be shown with the masks of the other
        if (other := self.images.setdefault(image.stem, path)) != path:
            raise ValueError(f'FiftyOne: expected images of different names, got {other} and {path}')
        self._fields = (*label_maps, TRUTH)
        for field, labels in {**label_maps, TRUTH: truth}.items():
            values = np.asarray(labels).astype(np.int64) + 1
            # FiftyOne hides 0: a class of that value would never be seen
            values[(values < 0) | (values > num_classes)] = 0
            dtype = np.uint8 if num_classes < 256 else np.uint16
            file = self.folder / field / f'{image.stem}.png'
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(file, png_bytes(Image.fromarray(values.astype(dtype))))

    def finish(self, report: EvaluationReport) -> None:
        """Writes the index of `images`, to which those of other processes are to be added before."""
        figures = {
            Path(image.name).stem: {
                'coarse_iou': image.mean_iou[COARSE],
                'refined_iou': image.mean_iou[REFINED],
                'gain': image.gain,
            }
            for image in report.images
            if not math.isnan(image.gain)
        }
        content = {
            'fields': list(self._fields),
            'mask_targets': {str(i + 1): name for i, name in enumerate(report.class_names)},
            'images': figures,
        }
        atomic_write(self.folder / 'data.json', json.dumps(self.images, indent=1) + '\n')
        atomic_write(self.folder / 'dataset.json', json.dumps(content, indent=1) + '\n')
