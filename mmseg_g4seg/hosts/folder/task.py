"""What a run over a folder is asked to do."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmseg_g4seg.evaluation.fiftyone import written_folders
from mmseg_g4seg.io.class_files import distinct_classes
from mmseg_g4seg.io.formats import Reading, build_format
from mmseg_g4seg.io.label_files import index_colours
from mmseg_g4seg.io.mask_files import MaskFormat
from mmseg_g4seg.io.object_masks import is_object_mask, mask_values
from mmseg_g4seg.io.storage import AnyPath, StoredPath
from mmseg_g4seg.prediction import ClassList


@dataclass(frozen=True)
class FolderTask:
    """What is refined, and how; all of it can be sent to another process.

    Attributes:
        images: folder of images.
        masks: folder of mask files, each of its image's name; None with `coarse`.
        out: folder of the refined masks.
        refiner: config, see `build_refiner`.
        classes: of the masks.
        reading: how the masks are read; with `coarse` its format is that of the refined masks alone.
        output_format: of the refined masks, one of `FORMATS`; the input's when not given.
        truth: folder of labels (index PNGs) to measure against.
        device: that the refiner runs on.
        threads: of each process on the CPU; another number changes the last bits of floats.
        fiftyone: folder for the masks as FiftyOne reads them; needs a truth.
        coarse: config of the `CoarseSource` that makes the masks; None where they are in files.
        megapixels: of an image, at most; Pillow's limit, 178, when not given.
    """

    images: AnyPath
    masks: AnyPath | None
    out: AnyPath
    refiner: dict[str, Any]
    classes: ClassList
    reading: Reading
    output_format: str | None = None
    truth: AnyPath | None = None
    device: str = 'cpu'
    threads: int = 1
    fiftyone: Path | None = None
    coarse: Mapping[str, Any] | None = None
    megapixels: float | None = None

    def __post_init__(self) -> None:
        for name, folder in self._inputs().items():
            if folder is not None and not folder.is_dir():
                raise FileNotFoundError(f'{name}: no such folder: {folder}')
        if (self.masks is None) is (self.coarse is None):
            raise ValueError('masks: expected either a folder of masks, or a source that makes them (coarse)')
        inputs = [folder.resolve() for folder in self._inputs().values() if folder]
        # --overwrite begins by removing what OUT has of these names: with the labels' folder, the labels
        if self.out.resolve() in inputs:
            raise ValueError(f'out: expected a folder of its own, got that of the inputs, {self.out}')
        if self.fiftyone and any(path.resolve() in inputs for path in written_folders(self.fiftyone)):
            raise ValueError(f'fiftyone: expected a folder of its own, got one whose files are inputs, {self.fiftyone}')
        if self.threads < 1:
            raise ValueError(f'threads: expected at least 1, got {self.threads}')
        if self.megapixels is not None and not 0 < self.megapixels < math.inf:
            raise ValueError(f'megapixels: expected more than 0, got {self.megapixels}')
        if self.fiftyone and self.truth is None:
            raise ValueError('fiftyone: expected labels to measure against beside it, got none')
        if self.fiftyone and isinstance(self.images, StoredPath):
            raise ValueError(f'fiftyone: expected a local folder of images, which it reads, got {self.images}')
        distinct_classes(self.classes)
        # both now: classes that a format cannot hold are the whole run's fault, not that of its first mask
        self.reader()
        self.writer()

    def reader(self) -> MaskFormat:
        """What reads the masks."""
        reading = self.reading
        return build_format(
            reading.format,
            self.classes,
            score_type=reading.score_type,
            rule=reading.rule,
            present_only=reading.present_only,
        )

    def writer(self) -> MaskFormat:
        """What encodes the refined masks."""
        return build_format(self._formats()[1], self.classes, rule=self.reading.rule)

    def settings(self) -> dict[str, Any]:
        """What the results follow from, as plain JSON.

        Raises:
            ValueError: if masks or truth are of 0 and 255 alone, and not of two classes.
        """
        formats, reading, classes = self._formats(), self.reading, self.classes
        settings = {
            'refiner': self.refiner,
            'classes': classes.names,
            'background_index': classes.background,
            'threshold': classes.threshold,
            'known': classes.known,
            'palette': index_colours(classes).tolist() if 'palette-png' in formats else None,
            'formats': formats,
            'score_type': reading.score_type,
            'background_rule': asdict(reading.rule),
            'soften': reading.soften,
            'any_size': reading.any_size,
            'present_only': reading.present_only,
            'object_masks': self._object_masks(),
            # of a run with masks there is no entry, so that what earlier versions began goes on
            **({} if self.coarse is None else {'coarse': dict(self.coarse)}),
            **{name: folder and str(folder.resolve()) for name, folder in self._inputs().items()},
        }
        # lists for tuples: they are compared with those of an earlier run, which come from its report
        return json.loads(json.dumps(settings, default=repr))

    def _object_masks(self) -> list[str]:
        """Which folders have masks of 0 and 255, so that 255 is the object; found once, for all files and processes."""
        folders = {'masks': self.masks if self.reading.format == 'index-png' else None, 'truth': self.truth}
        found = []
        for name, folder in folders.items():
            paths = (
                [] if folder is None else sorted((p for p in folder.iterdir() if p.suffix.lower() == '.png'), key=str)
            )
            try:
                found += [name] if is_object_mask(mask_values(paths), len(self.classes)) else []
            except ValueError as error:
                raise ValueError(f'{name}: {folder}: {error}') from error
        return found

    def _inputs(self) -> dict[str, AnyPath | None]:
        return {'images': self.images, 'masks': self.masks, 'truth': self.truth}

    def _formats(self) -> list[str]:
        return [self.reading.format, self.output_format or self.reading.format]
