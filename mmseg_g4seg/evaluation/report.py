"""What an evaluation found, as data: `build` makes it, `table`, `json_csv` and others show it.

Shapes: C classes, N images. Stages are the coarse mask, those between the refiners of a chain, the refined one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from torch import Tensor

from .records import COARSE, REFINED
from .statistics import Comparison

ACCURACY, BOUNDARY = 'aAcc', 'BIoU'
"""The figure that is not of one class; and what boundary IoU is called among those that are."""
REFINE = 'refine'
"""The refiners together, among the seconds."""
LISTED_IMAGES = 5
"""How many images of each direction a report names."""


@dataclass(frozen=True)
class ImageFigures:
    """One image of a report.

    Attributes:
        name: of the image.
        mean_iou: by stage, over the image's labelled classes, per cent; NaN where nothing is labelled, empty without
            a truth. PQ in a panoptic report.
        pixels: of the image.
        changed: pixels that the refiners gave another label; None where the masks to compare with are not their input.
    """

    name: str
    mean_iou: Mapping[str, float]
    pixels: int
    changed: int | None

    @property
    def gain(self) -> float:
        """Of the refined mask over the coarse one, in per cent; NaN where there is none."""
        values = list(self.mean_iou.values())
        return values[-1] - values[0] if values else math.nan


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Coarse masks against refined ones. What a truth is needed for is empty without one.

    Attributes (dicts by stage list the coarse stage first and the refined one last):
        class_names: C names.
        images: N of them, in order.
        class_pixels: by stage, (C,) int64 pixels of each class in all masks.
        labelled: (C,) int64 pixels of each class in the truth; zeros without one.
        mean_classes: indices of the classes that means and gains are over.
        per_class: by stage, then figure (`IoU`, `Acc`, `BIoU` ...), (C,) fractions, NaN where there is none;
            and `aAcc`, one fraction.
        gains: by stage after the coarse one, the comparison with the coarse masks.
        boundary_gains: likewise, of boundary IoU; empty where boundaries were not measured.
        further_gains: likewise, of other figures by name, such as SQ and RQ.
        seconds: an image, of `coarse`, every refiner and, together, `refine`.
        prefix: what the mean of a figure has before its name: mIoU, but PQ.
        groups: classes with means of their own, such as `things`.
    """

    class_names: Sequence[str]
    images: Sequence[ImageFigures]
    class_pixels: Mapping[str, Tensor]
    labelled: Tensor
    mean_classes: Sequence[int]
    per_class: Mapping[str, Mapping[str, np.ndarray]]
    gains: Mapping[str, Comparison]
    boundary_gains: Mapping[str, Comparison]
    seconds: Mapping[str, float]
    prefix: str = 'm'
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    further_gains: Mapping[str, Mapping[str, Comparison]] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """The mean that gains are of."""
        # not the leading figure of label maps: a host that measures Dice has gains of IoU all the same
        return 'mIoU' if self.prefix else next(iter(self.shown_figures))

    @property
    def refined_gains(self) -> dict[str, Comparison]:
        """Of the refined masks over the coarse ones, by the mean that it is of, the headline's first."""
        named = {self.headline: self.gains, 'mBIoU': self.boundary_gains, **self.further_gains}
        return {name: by_stage[REFINED] for name, by_stage in named.items() if REFINED in by_stage}

    @property
    def gain(self) -> Comparison | None:
        """Of the refined masks over the coarse ones."""
        return self.gains.get(REFINED)

    @property
    def boundary_gain(self) -> Comparison | None:
        """Likewise, of boundary IoU."""
        return self.boundary_gains.get(REFINED)

    @property
    def shown_figures(self) -> list[str]:
        """What a table of classes has room for: the leading figure and, where measured, boundary IoU."""
        names = [name for name in self.per_class.get(COARSE, ()) if name != ACCURACY]
        return [*names[:1], *(name for name in names[1:] if name == BOUNDARY)]

    @property
    def means(self) -> dict[str, dict[str, float]]:
        """By stage: `aAcc` and the means over `mean_classes`, `mIoU` and so on; per cent, not rounded."""
        # a class that is predicted but never labelled has IoU 0; whether that enters the mean is the host's choice
        own = {'': self.mean_classes, **{f' {name}': classes for name, classes in self.groups.items()}}
        means: dict[str, dict[str, float]] = {}
        for stage, figures in self.per_class.items():
            means[stage] = {}
            for (suffix, classes), (name, values) in product(own.items(), figures.items()):
                if name != ACCURACY:
                    counted = np.isin(np.arange(len(self.class_names)), classes) & ~np.isnan(values)
                    mean = float(values[counted].mean() * 100) if counted.any() else float('nan')
                    means[stage][f'{self.prefix}{name}{suffix}'] = mean
                elif not suffix:
                    means[stage][name] = float(values * 100)
        return means

    @property
    def changes(self) -> dict[str, int]:
        """How many images' mean IoU rose, fell, or stayed; one without labels stayed."""
        if self.gain is None:
            return {}
        better, worse = self.gain.better, self.gain.worse
        return {'images_better': better, 'images_worse': worse, 'images_same': len(self.images) - better - worse}

    @property
    def largest_changes(self) -> dict[str, list[ImageFigures]]:
        """Up to `LISTED_IMAGES` that gained most, and that lost most, the largest change first."""
        # sorting is stable: equal changes stay in the order of the data set
        gained = sorted((image for image in self.images if image.gain > 0), key=lambda image: -image.gain)
        lost = sorted((image for image in self.images if image.gain < 0), key=lambda image: image.gain)
        return {'gained_most': gained[:LISTED_IMAGES], 'lost_most': lost[:LISTED_IMAGES]}
