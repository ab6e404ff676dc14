"""What the page does when a user acts: values of its fields in, values of its fields out. No Gradio here.

Shapes: H W size of the picture; what is drawn is (s H, s W, 3) uint8 RGB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch

from mmseg_g4seg.io.images import to_pixels
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.io.mask_files import FileMask
from mmseg_g4seg.prediction import ClassList

from .downloads import Downloads, write_downloads
from .drawing import draw_mask, draw_match, draw_point, draw_regions, enlarge, scale_of
from .inputs import Picture, as_prediction, named_classes, open_picture, painted_mask, read_mask
from .parameters import read_choice, with_values
from .run import Case, Outcome, Report, Runner
from .scenes import SCENES
from .summary import describe_regions, summarise

UPLOAD, PAINT, MAKE = 'Upload it', 'Paint it', 'Let the prior make it'
SOURCES = {'SeeDiff': 'seediff', 'DiffSegmenter': 'diffsegmenter', 'DAAM': 'daam'}
Pair = tuple[np.ndarray, np.ndarray]
"""Left and right of the slider."""


@dataclass(frozen=True)
class MadeMask:
    """A coarse mask of a source, with what it was made of.

    Attributes:
        mask: (C, H, W) probabilities.
        picture: that it was made of.
        classes: likewise.
    """

    mask: FileMask
    picture: Picture
    classes: ClassList


@dataclass(frozen=True)
class Form:
    """The fields of the page as they stand.

    Attributes:
        picture: file, None where there is none.
        names: text with the class names.
        way: `UPLOAD`, `PAINT` or `MAKE`: where the coarse mask comes from.
        mask_file: uploaded mask.
        layers: strokes, (h, w, 4) uint8 RGBA each.
        made: mask that a source made, of this picture and these names or of earlier ones.
        refiner: name or file.
        values: of the sliders.
    """

    picture: Path | None
    names: str
    way: str
    mask_file: Path | None
    layers: Sequence[np.ndarray]
    made: MadeMask | None
    refiner: str
    values: Sequence[float | None]

    @property
    def config(self) -> dict[str, Any]:
        """Of the refiner, with the sliders' values."""
        return with_values(read_choice(self.refiner), self.values)


@dataclass(frozen=True)
class Shown:
    """What the page shows after a run.

    Attributes:
        outcome: of the run; the page asks it again when a point or a class is chosen.
        picture: that was refined.
        pair: coarse and refined mask, drawn.
        summary: HTML.
        files: to download.
    """

    outcome: Outcome
    picture: Picture
    pair: Pair
    summary: str
    files: Downloads


def scene_truth(picture: Path, names: str) -> torch.Tensor | None:
    """True labels (H, W) int64 of a scene that ships, known by its content and names; None for any other picture."""
    content = picture.read_bytes()
    for scene in SCENES:
        if scene.names == names and scene.picture.read_bytes() == content:
            return read_index_png(scene.truth, len(names.split(',')))
    return None


def coarse_mask(form: Form, picture: Picture, classes: ClassList) -> FileMask:
    """The coarse mask that a form gives, (H, W) labels or (C, h, w) probabilities.

    Raises:
        ValueError: if it gives none, or one that does not fit.
    """
    if form.way == PAINT:
        return painted_mask(form.layers, classes, picture.size)
    if form.way == UPLOAD:
        return read_mask(form.mask_file, classes, picture)
    if form.made is None:
        raise ValueError('coarse mask: expected one from a source, got none; press "Make a coarse mask" first')
    # probabilities fit any grid: another picture, and cats called dogs, would be refined without a word
    for what, same in (
        ('picture', np.array_equal(form.made.picture.pixels, picture.pixels)),
        ('list of class names', form.made.classes.names == classes.names),
    ):
        if not same:
            raise ValueError(f'coarse mask: made of another {what}; press "Make a coarse mask" again')
    return form.made.mask


def preview(form: Form) -> Pair:
    """Picture and coarse mask, drawn (s H, s W, 3) each; errors as `coarse_mask`."""
    picture, classes = open_picture(form.picture), named_classes(form.names)
    coarse = as_prediction(coarse_mask(form, picture, classes), classes, picture.size)
    return enlarge(picture.pixels), draw_mask(picture.pixels, coarse.label_map, classes)


def make(runner: Runner, form: Form, source: str) -> tuple[MadeMask, Pair]:
    """Makes a coarse mask: what it is, and picture and mask, drawn (s H, s W, 3); errors as `Runner.make_mask`."""
    picture, classes = open_picture(form.picture), named_classes(form.names)
    made = MadeMask(runner.make_mask(SOURCES[source], picture, classes, form.config), picture, classes)
    return made, preview(replace(form, made=made, way=MAKE))


def refine(runner: Runner, form: Form, report: Report, *, folder: Path) -> Shown:
    """Refines what a form holds.

    Args:
        runner: keeps the prior.
        form: of the user.
        report: is told how far it is.
        folder: where the files go that may be downloaded.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if something in the form is missing or does not fit.
        ImportError: if the refiner needs a package that is not installed.
    """
    picture, classes = open_picture(form.picture), named_classes(form.names)
    case = Case(picture, classes, coarse_mask(form, picture, classes), form.config)
    outcome = runner.refine(case, report)
    assert form.picture is not None
    coarse, refined = (draw_mask(picture.pixels, mask.label_map, classes) for mask in (outcome.coarse, outcome.refined))
    summary = summarise(outcome, scene_truth(form.picture, form.names))
    files = write_downloads(outcome, Path(mkdtemp(prefix='run_', dir=folder)), device=runner.device)
    return Shown(outcome, picture, (coarse, refined), summary, files)


def match_point(shown: Shown | None, column: int, row: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Looks for the match of a point.

    Args:
        shown: of the last run.
        column: of the point in the reconstruction as it is drawn, pixels.
        row: likewise.

    Returns:
        Reconstruction and picture with the point and its match, (s H, s W, 3) uint8, and a sentence.

    Raises:
        ValueError: if there is no run, nothing was reconstructed, or the point is outside.
    """
    if shown is None or shown.outcome.correspondence is None:
        raise ValueError('point: expected a refined picture with a reconstruction, got none; refine with G4Seg first')
    scale = scale_of(shown.picture.pixels)
    found = shown.outcome.correspondence.match(row // scale, column // scale)
    names, labels = shown.outcome.classes.labels, shown.outcome.coarse.label_map
    at_query, at_match = (_name(names, int(labels[place])) for place in (found.query, found.place))
    sentence = (
        f'Column {found.query[1]}, row {found.query[0]} ({at_query}) is most like column {found.place[1]}, row '
        f'{found.place[0]} ({at_match}): cosine {found.cosine:.2f}.'
    )
    return draw_point(rebuilt(shown), found.query), draw_match(shown.picture.pixels, found), sentence


def rebuilt(shown: Shown) -> np.ndarray:
    """The reconstruction, (H, W, 3) uint8.

    Raises:
        ValueError: if nothing was reconstructed.
    """
    found = shown.outcome.correspondence
    if found is None:
        raise ValueError('reconstruction: expected a run of G4Seg, got one of another refiner')
    return to_pixels(found.reconstruction)


def show_regions(shown: Shown | None, name: str | None) -> tuple[np.ndarray, str]:
    """What refinement took from a class and added to it: a picture (s H, s W, 3) uint8 and a legend.

    Raises:
        ValueError: if there is no run, or no such class.
    """
    if shown is None or name not in shown.outcome.classes.labels:
        raise ValueError('regions: expected a class of a refined picture, got none; refine first')
    index, outcome = shown.outcome.classes.labels.index(name), shown.outcome
    labels = outcome.coarse.label_map, outcome.refined.label_map
    return draw_regions(shown.picture.pixels, *labels, index), describe_regions(outcome, index)


def most_changed(shown: Shown) -> tuple[list[str], str]:
    """Classes that occur before or after, and the one that changed most."""
    before, after = shown.outcome.coarse.label_map, shown.outcome.refined.label_map
    changes: Mapping[str, int] = {
        name: int(((before == c) != (after == c)).sum())
        for c, name in enumerate(shown.outcome.classes.labels)
        if (before == c).any() or (after == c).any()
    }
    return list(changes), max(changes, key=lambda name: changes[name])


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if 0 <= label < len(names) else 'no label'
