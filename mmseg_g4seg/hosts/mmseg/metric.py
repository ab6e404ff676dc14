"""Coarse and refined masks, measured in the same run.

Shapes: C classes, N images. Areas are (..., 3, C) int64: intersection, predicted, labelled; see `areas`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image
from torch import Tensor

from mmseg_g4seg.evaluation.areas import mean_iou
from mmseg_g4seg.evaluation.gain import boundary_gain_report, gain_report
from mmseg_g4seg.evaluation.report import BOUNDARY, EvaluationReport, mean_seconds
from mmseg_g4seg.evaluation.stage_areas import COARSE, REFINED, count_areas, dense_areas, stage_label_maps
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.label_files import png_bytes

from .class_names import announce_dataset


@METRICS.register_module()
class RefinementMetric(IoUMetric):
    """`IoUMetric` for the samples of a `RefinedSegmentor`, with the coarse prediction beside.

    The metrics' usual names (`mIoU`, `mAcc`, `aAcc`, ...) are those of the refined masks, so that
    whatever reads them goes on working; `coarse_mIoU` and so on are the coarse model's. Besides:
    `mBIoU` (mean boundary IoU), `images_better`, `images_worse`, `images_same` (by the image's mean
    IoU over the classes of its ground truth), `gain_low` and `gain_high` (bootstrap 95 % interval of
    the mIoU gain over images), `coarse_seconds` and `refine_seconds` per image. The masks between the
    refiners of a chain have metrics under the refiner's name (`G4Seg_mIoU`).

    With `output_dir` the refined label maps go there as PNGs, as mmseg writes them (16-bit where 8
    do not hold the ids), and the coarse ones into its folder `coarse`.

    Args:
        report_dir: folder for `metrics.json` (`{"coarse": ..., "refined": ...}` in per cent, the gain
            with its interval and by initial IoU, the images that changed most, and each image's mean
            IoU), `classes.csv`, `images.csv` and `table.txt`; none is written when not given.
        mean_classes: names of the classes that count; `labelled` for those that occur in the ground
            truth; all when not given. Others have no figure (a class that is predicted but never
            labelled would enter the means with 0).
        boundary: measure boundary IoU, too (arXiv 2103.16562; 0.02 of the image's diagonal wide).
        kwargs: as for `IoUMetric`.
    """

    def __init__(
        self,
        *,
        report_dir: str | None = None,
        mean_classes: Sequence[str] | Literal['labelled'] | None = None,
        boundary: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
            ValueError: see `count_areas`.
        """
        names = self.class_names
        for sample in data_samples:
            label_maps = stage_label_maps(sample)
            if self.output_dir is not None:
                self._write_label_maps(sample, label_maps)
            if not self.format_only:
                areas = count_areas(sample, label_maps, len(names), self.ignore_index, boundary=self.boundary)
                self.results.append(areas)

    def _write_label_maps(self, sample: dict, label_maps: dict[str, Tensor]) -> None:
        """Writes the refined labels and, where there are any, the coarse ones."""
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
        """Sums up a run: prints the report, writes it where wanted, returns the metrics."""
        if self.format_only:
            return super().compute_metrics(results)
        if not results:
            raise ValueError('no image was evaluated: expected at least one in the test set')
        report = self._report(results)
        print_log('\n' + report.text(), logger=MMLogger.get_current_instance())
        if self.report_dir and is_main_process():
            report.write(Path(self.report_dir))
        return report.metrics()

    def _report(self, results: Sequence[dict[str, Any]]) -> EvaluationReport:
        names, stages = self.class_names, results[0]['stages']
        masks = {stage: dense_areas(results, i, 0, len(names)) for i, stage in enumerate(stages)}
        figures = {stage: self._figures(areas.sum(dim=0), self.metrics) for stage, areas in masks.items()}
        ious = {stage: (mean_iou(areas) * 100).tolist() for stage, areas in masks.items()}
        counted = self._counted(masks[COARSE].sum(dim=0)[2])
        compared = np.flatnonzero(counted).tolist()
        boundary_gain = None
        if self.boundary:
            boundaries = {stage: dense_areas(results, i, 1, len(names)) for i, stage in enumerate(stages)}
            for stage, areas in boundaries.items():
                figures[stage][BOUNDARY] = self._figures(areas.sum(dim=0), 'mIoU')['IoU']
            boundary_gain = boundary_gain_report(boundaries[COARSE], boundaries[REFINED], compared)
        return EvaluationReport(
            class_names=names,
            per_class={stage: _leave_out(values, ~counted) for stage, values in figures.items()},
            images=[
                {'name': result['name'], **{stage: ious[stage][i] for stage in stages}}
                for i, result in enumerate(results)
            ],
            seconds=mean_seconds([result['seconds'] for result in results]),
            gain=gain_report(masks[COARSE], masks[REFINED], compared),
            boundary_gain=boundary_gain,
        )

    def _figures(self, areas: Tensor, metrics: Sequence[str] | str) -> dict[str, Any]:
        """IoU, Acc ... of every class, as fractions, and aAcc: (3, C) areas of a run -> (C,) each."""
        # in float64: in mmseg's float32 the pixels of a large data set would not add up exactly
        intersection, predicted, labelled = areas.double()
        totals = (intersection, predicted + labelled - intersection, predicted, labelled)
        return self.total_area_to_metrics(*totals, metrics, self.nan_to_num, self.beta)

    def _counted(self, labelled_area: Tensor) -> np.ndarray:
        """Which classes have a figure: (C,) bool."""
        if self.mean_classes is None:
            return np.ones(len(labelled_area), bool)
        if self.mean_classes == 'labelled':
            return (labelled_area > 0).numpy()
        unknown = [name for name in self.mean_classes if name not in self.class_names]
        if unknown:
            raise ValueError(f'mean_classes: expected names among {self.class_names}, got {unknown}')
        return np.array([name in self.mean_classes for name in self.class_names])


def _leave_out(figures: dict[str, Any], classes: np.ndarray) -> dict[str, Any]:
    """NaN for the figures of some classes, (C,) bool."""
    return {name: v if name == 'aAcc' else np.where(classes, np.nan, np.asarray(v)) for name, v in figures.items()}
