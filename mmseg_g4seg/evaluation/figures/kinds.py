"""The kinds of figures, by name; each is a function of refiner, subject and options.

Shapes: H W image size; a figure is (height, width, 3) uint8 RGB.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.evaluation.panels import Legend
from mmseg_g4seg.ops.palettes import BLUE, HEAT, VERMILLION
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.g4seg.inspection import Correspondence, PointMatch, correspond, g4seg_stage, reconstruct_at
from mmseg_g4seg.refiners.g4seg.reconstruction import NullTextInversion, OneStep

from .drawing import Panel, heat_panel, numbered, painted, photo, sheet
from .subject import Options, Subject, deepest

Figure = Callable[[Refiner, Subject, Options], np.ndarray]

COLUMNS = 4
OVER, UNDER = VERMILLION, BLUE
SIMILARITY: Legend = [('least similar', HEAT[0]), ('most similar', HEAT[-1])]


def masks(refiner: Refiner, subject: Subject, options: Options) -> np.ndarray:
    """Image, coarse mask, the mask after each refiner, truth (Fig. 3, 10-12): (height, width, 3) uint8."""
    stages = refiner.refine_stages([subject.image], [subject.coarse], subject.classes, keys=[subject.key])
    maps = {'coarse': subject.coarse.label_map, **{s.name: s.predictions[0].label_map for s in stages}}
    if subject.truth is not None:
        maps['truth'] = subject.truth
    panels = [('image', photo(subject.image)), *((name, subject.masked(labels)) for name, labels in maps.items())]
    return sheet(_wrapped(panels), subject.legend(*maps.values()))


def inversion(refiner: Refiner, subject: Subject, options: Options) -> np.ndarray:
    """Reconstruction in one step, and by null-text inversion (Fig. 5): (height, width, 3) uint8."""
    g4seg = g4seg_stage(refiner)
    null_text = NullTextInversion(steps=options.steps, guidance=options.guidance)
    panels = [('image', photo(subject.image)), ('coarse', subject.masked(subject.coarse.label_map))]
    for title, way in (
        ('one step', OneStep()),
        (f'null-text inversion, {options.steps} steps', null_text),
    ):
        rebuilt = g4seg.reconstruct(subject.image, subject.coarse, subject.classes, key=subject.key, reconstruction=way)
        panels.append((title, photo(rebuilt)))
    return sheet([panels], subject.legend(subject.coarse.label_map))


def timesteps(refiner: Refiner, subject: Subject, options: Options) -> np.ndarray:
    """Reconstructions from several noise levels (Fig. 9): (height, width, 3) uint8."""
    rebuilt = reconstruct_at(
        g4seg_stage(refiner), subject.image, subject.coarse, subject.classes, options.timesteps, key=subject.key
    )
    panels = [('image', photo(subject.image))]
    panels += [(f't = {t}', photo(image)) for t, image in zip(options.timesteps, rebuilt, strict=True)]
    return sheet(_wrapped(panels))


def layouts(refiner: Refiner, subject: Subject, options: Options) -> np.ndarray:
    """Reconstruction under the coarse mask and under the true one, and their errors: (height, width, 3) uint8.

    Raises:
        ValueError: if there is no truth.
    """
    if subject.truth is None:
        raise ValueError('layouts: expected true labels beside the coarse mask, got none')
    # a true mask is sure of itself; only its labels are injected
    true = Prediction(subject.coarse.probs, subject.truth)
    g4seg = g4seg_stage(refiner)
    given = {'coarse mask': subject.coarse, 'true mask': true}
    rebuilt = {
        name: g4seg.reconstruct(subject.image, mask, subject.classes, key=subject.key) for name, mask in given.items()
    }
    errors = {name: (image - subject.image).abs().mean(dim=0) for name, image in rebuilt.items()}
    # of both: two scales would make the better one look as bad as the other
    highest = max(float(e.max()) for e in errors.values())
    rows = [
        [
            (name, subject.masked(mask.label_map)),
            (f'reconstruction under the {name}', photo(rebuilt[name])),
            (
                f'error, mean {100 * float(errors[name].mean()):.1f} %',
                heat_panel(subject.image, errors[name], 0, highest),
            ),
        ]
        for name, mask in given.items()
    ]
    heat = [('no error', HEAT[0]), (f'{100 * highest:.0f} % of the range', HEAT[-1])]
    return sheet(rows, [*subject.legend(subject.coarse.label_map, subject.truth), *heat])


def correspondence(refiner: Refiner, subject: Subject, options: Options) -> np.ndarray:
    """Points of the reconstruction, their matches in the image, and maps of similarity (Fig. 6).

    Without points there is one in each of the largest three classes.

    Returns:
        (height, width, 3) uint8.
    """
    g4seg = g4seg_stage(refiner)
    found = correspond(g4seg, subject.image, subject.coarse, subject.classes, key=subject.key, only=options.class_index)
    labels = subject.coarse.label_map
    selected = g4seg.select(subject.coarse, subject.classes)
    largest = sorted(selected, key=lambda c: -int((labels == c).sum()))[:3]
    given = options.points or [place for c in largest if (place := deepest(labels == c)) is not None]
    matches = {number: found.match(*place) for number, place in enumerate(given, start=1)}
    panels = [('coarse mask', subject.masked(labels)), *_points(subject, found, matches)]
    heat = [_similarity(subject, number, match) for number, match in matches.items()]
    rows = [panels, *(heat[start : start + 3] for start in range(0, len(heat), 3))]
    return sheet(rows, [*subject.legend(labels), *SIMILARITY])


def regions(refiner: Refiner, subject: Subject, options: Options) -> np.ndarray:
    """Over- and under-segmented regions of a class, and the matches of a point in each (Fig. 7-8).

    Against the truth; where there is none, against the refined mask. Without a class it is the one of most errors.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: if the two masks agree.
    """
    g4seg = g4seg_stage(refiner)
    reference, name = subject.truth, 'true mask'
    if reference is None:
        refined = refiner.refine(subject.image, subject.coarse, subject.classes, key=subject.key)
        reference, name = refined.label_map, 'refined mask'
    selected = g4seg.select(subject.coarse, subject.classes)
    if not selected:
        raise ValueError('expected a mask with a class that is refined, got background, or unknown classes, alone')
    c = subject.most_wrong(reference, selected) if options.class_index is None else options.class_index
    over, under = subject.regions(reference, c)
    given = options.points or [place for region in (over, under) if (place := deepest(region)) is not None]
    if not given:
        raise ValueError(f'regions: expected a difference between coarse and {name} of {subject.classes.labels[c]!r}')
    found = correspond(g4seg, subject.image, subject.coarse, subject.classes, key=subject.key, only=c)
    matches = {number: found.match(*place) for number, place in enumerate(given, start=1)}
    places = {number: match.query for number, match in matches.items()}
    panels = [
        ('image', photo(subject.image)),
        ('coarse mask', _class_mask(subject, subject.coarse.label_map, c)),
        (name, _class_mask(subject, reference, c)),
        ('too much, too little', numbered(_two_regions(subject, over, under), places, subject.size)),
        *_points(subject, found, matches),
        *(_similarity(subject, number, match) for number, match in matches.items()),
    ]
    legend: Legend = [
        (subject.classes.labels[c], tuple(subject.colours[c].tolist())),
        ('over-segmented', OVER),
        ('under-segmented', UNDER),
        *SIMILARITY,
    ]
    return sheet(_wrapped(panels), legend)


FIGURES: dict[str, Figure] = {
    function.__name__: function for function in (masks, correspondence, regions, timesteps, layouts, inversion)
}
"""By name, as `g4seg figure NAME` takes them."""


def _points(subject: Subject, found: Correspondence, matches: Mapping[int, PointMatch]) -> list[Panel]:
    """Reconstruction with the points that are asked about, and image with their matches."""
    points = {number: match.query for number, match in matches.items()}
    places = {number: match.place for number, match in matches.items()}
    return [
        ('reconstruction: points', numbered(photo(found.reconstruction), points, subject.size)),
        ('image: their matches', numbered(photo(subject.image), places, subject.size)),
    ]


def _similarity(subject: Subject, number: int, match: PointMatch) -> Panel:
    low, high = float(match.similarity.min()), float(match.similarity.max())
    panel = heat_panel(subject.image, match.similarity, low, high)
    return f'similarity to {number}: {low:.2f} to {high:.2f}', numbered(panel, {number: match.place}, subject.size)


def _class_mask(subject: Subject, label_map: Tensor, class_index: int) -> np.ndarray:
    return subject.masked(torch.where(label_map == class_index, class_index, -1))


def _two_regions(subject: Subject, over: Tensor, under: Tensor) -> np.ndarray:
    """(H, W) bool twice -> (s H, s W, 3) uint8, over the image in grey, where both colours show."""
    colours = np.where(over.cpu().numpy()[..., None], np.array(OVER, np.uint8), np.array(UNDER, np.uint8))
    grey = subject.image.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return painted(grey, colours, (over | under).cpu().numpy(), opacity=0.85)


def _wrapped(panels: Sequence[Panel]) -> list[Sequence[Panel]]:
    return [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
