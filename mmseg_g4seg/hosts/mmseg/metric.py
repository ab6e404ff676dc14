"""Measures coarse and refined masks in the same run.

Shapes: C classes, H W image size. Areas are (3, C) int64: intersection, predicted, labelled; see `evaluation.areas`.
"""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image
from torch import Tensor

from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.fiftyone import FiftyOneExport
from mmseg_g4seg.evaluation.files import write_report
from mmseg_g4seg.evaluation.html.extremes import PICTURES, Extremes
from mmseg_g4seg.evaluation.html.notes import describe_run
from mmseg_g4seg.evaluation.html.pictures import Picture, draw_picture
from mmseg_g4seg.evaluation.metrics import as_metrics
from mmseg_g4seg.evaluation.records import COARSE, REFINED, ImageRecord, dense_areas, measure_image
from mmseg_g4seg.evaluation.table import as_text
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.images import read_pixels
from mmseg_g4seg.io.label_files import png_bytes
from mmseg_g4seg.prediction import ClassList

from .class_names import announce_dataset, tested_settings
from .samples import read_truth, stage_label_maps

OF_MMSEG = {*signature(IoUMetric).parameters, 'keep_results'} - {'kwargs'}
"""Options of `IoUMetric`; `--out` of mmseg's own script sets `keep_results` on any metric."""


@METRICS.register_module()
class RefinementMetric(IoUMetric):
    """`IoUMetric` for the samples of a `RefinedSegmentor`: metrics before and after refinement.

    - `mIoU`, `mAcc`, `aAcc` ... are those of the refined masks, so that tools that read these names still work.
    - `coarse_mIoU` and so on are those of the coarse masks.
    - `G4Seg_mIoU` and so on are those of the masks between the refiners of a chain, by the refiner's name.
    - `mBIoU` is the mean boundary IoU.
    - `images_better`, `images_worse` and `images_same` count images by their mean IoU over the classes of their truth.
    - `gain_low` and `gain_high` are the bootstrap 95 % interval of the mIoU gain over images; NaN of one image.
    - `coarse_seconds` and `refine_seconds` are per image.

    With `output_dir` the refined label maps are written there as PNGs, as mmseg does (with 16 bits if 8 cannot hold the
    ids), and the coarse ones into its folder `coarse`.

    Args:
        report_dir: folder for `metrics.json` (`{"coarse": ..., "refined": ...}` in per cent, the gain with its interval
            and by initial IoU, the images that changed most, each image's mean IoU), `classes.csv`, `images.csv`,
            `table.txt` and the page `report.html`. Default: the work folder of the Runner; without a Runner nothing is
            written.
        mean_classes: names of the classes that count, or `labelled` for those in the ground truth; default: all. Other
            classes have no figures. (A class that is predicted but never labelled would count as 0 in the means.)
        boundary: also measure boundary IoU (arXiv 2103.16562, with a width of 0.02 of the image's diagonal).
        pictures: number of images on the page that gained most, and of those that lost most.
        fiftyone_dir: folder to export the masks of all images to, see `evaluation.fiftyone`.
        collect_dir: folder for what processes exchange. Default: `.dist_test` in the current folder.
        kwargs: as for `IoUMetric`.

    Raises:
        ValueError: if there is no such option, or label maps alone are asked for and no folder for them.
    """

    default_prefix = ''  # None has mmengine warn at every start that there is none

    def __init__(
        self,
        *,
        report_dir: str | None = None,
        mean_classes: Sequence[str] | Literal['labelled'] | None = None,
        boundary: bool = True,
        pictures: int = PICTURES,
        fiftyone_dir: str | None = None,
        collect_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        # IoUMetric takes any option, and reads those that it knows: a misspelt `mean_clases` changed nothing
        if unknown := sorted(kwargs.keys() - OF_MMSEG):
            own = {*signature(RefinementMetric).parameters, *OF_MMSEG} - {'kwargs'}
            raise ValueError(f'RefinementMetric has no option {unknown[0]!r}; expected some of {sorted(own)}')
        super().__init__(**kwargs)
        if self.format_only and not self.output_dir:
            raise ValueError('format_only: label maps are all that is wanted: expected output_dir, a folder for them')
        self.collect_dir = collect_dir
        self.extremes = Extremes(pictures)
        self.fiftyone = FiftyOneExport(Path(fiftyone_dir)) if fiftyone_dir else None
        self.report_dir = report_dir
        self.mean_classes = mean_classes
        self.boundary = boundary

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the data set under test; setting it tells the model's refiner, too."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        announce_dataset(dataset_meta)
        _ = self.class_names  # what cannot be evaluated is said before the first image

    @property
    def class_names(self) -> list[str]:
        """C names.

        Raises:
            ValueError: if the data set has none.
        """
        names = (self.dataset_meta or {}).get('classes')
        if not names:
            raise ValueError(
                'RefinementMetric: the data set has no class names: expected metainfo=dict(classes=[...]) in the '
                "config's test_dataloader.dataset (or a data set class with METAINFO['classes'])"
            )
        return list(names)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Counts the areas of one batch, of every stage, and writes its label maps where wanted.

        Raises:
            ValueError: see `read_truth`; or if another model than `RefinedSegmentor` changed its masks.
        """
        size = len(self.class_names)
        for sample in data_samples:
            label_maps = stage_label_maps(sample)
            if self.output_dir is not None:
                self._write_label_maps(sample, label_maps)
            if not self.format_only:
                truth = read_truth(sample, size, self.ignore_index)
                record = measure_image(
                    Path(str(sample.get('img_path', 'image'))).name,
                    label_maps,
                    truth,
                    size,
                    ignore_index=self.ignore_index,
                    boundary=self.boundary,
                    seconds=sample.get('stage_seconds'),
                )
                # SegTTAModel merges what was refined view by view, beside the coarse mask of its last view alone
                if (told := sample.get('changed_pixels', record.changed)) != record.changed:
                    raise ValueError(
                        f'{record.name}: expected {told} pixels that the refiner changed, found {record.changed}: the '
                        "mask was changed behind it; does the config say tta_model=dict(type='RefinedSegTTAModel')?"
                    )
                self.results.append(record)
                if self.fiftyone:
                    self.fiftyone.add(Path(sample['img_path']), label_maps, truth, size)
                if self.extremes.wants(record):
                    self.extremes.add([self._draw(sample, record, label_maps, truth)])

    def _draw(self, sample: dict, record: ImageRecord, label_maps: dict[str, Tensor], truth: Tensor) -> Picture:
        """The picture of one image, whose maps are (H, W) int64."""
        meta = self.dataset_meta or {}
        palette = meta.get('palette')
        fits = palette is not None and len(palette) >= len(self.class_names)
        classes = ClassList(self.class_names, palette=palette if fits else None)
        try:
            image = read_pixels(Path(str(sample.get('img_path'))))
        except (OSError, ValueError):  # on another machine, or of 16 bits: the masks are shown without it
            image = None
        return draw_picture(record, image, label_maps, truth, classes, ignore_index=self.ignore_index)

    def evaluate(self, size: int) -> dict:
        """Sums up the images of all processes; see mmengine's `BaseMetric.evaluate`."""
        own, self.extremes = self.extremes, Extremes(self.extremes.count)
        # before the sum, which the first process makes alone
        for pictures, images in all_gather_object((own.pictures, self.fiftyone.images if self.fiftyone else {})):
            self.extremes.add(pictures)
            if self.fiftyone:
                self.fiftyone.images.update(images)
        try:
            return super().evaluate(size)
        finally:
            self.extremes = Extremes(own.count)

    def _write_label_maps(self, sample: dict, label_maps: dict[str, Tensor]) -> None:
        """Writes the refined labels, (H, W), and, where there are any, the coarse ones."""
        # ids of a data set that calls its first class 1 are shifted back, as mmseg does
        shift = int(bool(sample.get('reduce_zero_label', False)))
        dtype = np.uint8 if len(self.class_names) + shift <= 256 else np.uint16
        folder = Path(self.output_dir)
        folders = {REFINED: folder, **({COARSE: folder / 'coarse'} if 'coarse_sem_seg' in sample else {})}
        for stage, target in folders.items():
            target.mkdir(parents=True, exist_ok=True)
            labels = Image.fromarray((label_maps[stage] + shift).numpy().astype(dtype))
            atomic_write(target / f'{Path(sample["img_path"]).stem}.png', png_bytes(labels))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sums up a run: prints the report, writes it where wanted, returns the metrics.

        Args:
            results: an `ImageRecord` an image.
        """
        if self.format_only:
            return super().compute_metrics(results)
        if not results:
            raise ValueError('no image was evaluated: expected at least one in the test set')
        report = build_report(
            results,
            self.class_names,
            classes=self._counted(results),
            figures=lambda areas: self._figures(areas, self.metrics),
            boundary_iou=lambda areas: self._figures(areas, 'mIoU')['IoU'],
        )
        print_log('\n' + as_text(report), logger=MMLogger.get_current_instance())
        report_dir = self.report_dir or _work_dir()
        if report_dir and is_main_process():
            folder = Path(report_dir)
            notes = describe_run(folder.resolve().name, tested_settings())
            write_report(report, folder, notes=notes, pictures=self.extremes.pictures)
        if self.fiftyone and is_main_process():
            self.fiftyone.finish(report)
        return as_metrics(report)

    def _figures(self, areas: Tensor, metrics: Sequence[str] | str) -> dict[str, Any]:
        """IoU, Acc ... of every class, as fractions, and aAcc: (3, C) areas of a run -> (C,) each."""
        # in float64: in mmseg's float32 the pixels of a large data set would not add up exactly
        intersection, predicted, labelled = areas.double()
        totals = (intersection, predicted + labelled - intersection, predicted, labelled)
        return self.total_area_to_metrics(*totals, metrics, self.nan_to_num, self.beta)

    def _counted(self, results: Sequence[ImageRecord]) -> list[int]:
        """Indices of the classes that have figures."""
        names = self.class_names
        if self.mean_classes is None:
            return list(range(len(names)))
        if self.mean_classes == 'labelled':
            labelled = dense_areas(results, 0, len(names))[:, 2].sum(dim=0)  # (C,)
            return labelled.nonzero()[:, 0].tolist()
        unknown = [name for name in self.mean_classes if name not in names]
        if unknown:
            raise ValueError(f'mean_classes: expected names among {names}, got {unknown}')
        return [i for i, name in enumerate(names) if name in self.mean_classes]


def _work_dir() -> Path | None:
    """The folder of the run, for mmseg's own script, which tells a metric nothing of it; None without a run."""
    log_file = MMLogger.get_current_instance().log_file
    # a Runner logs to WORK_DIR/TIME/TIME.log; a logger of an earlier run may outlive its folder
    return Path(log_file).parents[1] if log_file and Path(log_file).is_file() else None
