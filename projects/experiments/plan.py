"""What an experiment consists of: sets of images with coarse scores, and runs of refiners."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.images import find_images
from mmseg_g4seg.io.mask_files import MaskFormat

PATHS = ('images', 'scores', 'labels', 'classes')
"""What a set cannot do without."""


@dataclass(frozen=True)
class ImageSet:
    """Images with coarse scores and labels, matched by name.

    Attributes:
        name: of the set.
        images: folder of images.
        scores: folder of coarse scores or masks.
        labels: folder of index PNGs.
        classes: file of class names.
        format: of the scores, see `formats`.
        mean_classes: names that the mean is over; those that are labelled when not given.
    """

    name: str
    images: Path
    scores: Path
    labels: Path
    classes: Path
    format: str = 'npz'
    mean_classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for folder in (self.images, self.scores, self.labels):
            if not folder.is_dir():
                raise FileNotFoundError(f'set {self.name}: no such folder: {folder}')
        names = list(read_classes(str(self.classes)))
        unknown = [name for name in self.mean_classes or () if name not in names]
        if unknown:
            raise ValueError(f'set {self.name}: mean_classes: expected some of {names}, got {unknown}')

    def reader(self) -> MaskFormat:
        return build_format(self.format, read_classes(str(self.classes)))

    def image_names(self) -> list[str]:
        """Names, without suffix, of the images that have scores, in order."""
        suffix = self.reader().suffix
        return [name for name in sorted(find_images(self.images)) if (self.scores / (name + suffix)).is_file()]

    def counted_classes(self) -> list[int] | None:
        """Indices of `mean_classes`."""
        if self.mean_classes is None:
            return None
        names = list(read_classes(str(self.classes)))
        return [names.index(name) for name in self.mean_classes]


@dataclass(frozen=True)
class Run:
    """One refiner on one set: a row (or a row a stage) of the table."""

    name: str
    set_name: str
    refiner: dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """Attributes:
    sets: by name.
    runs: in the order of the table.
    """

    sets: dict[str, ImageSet]
    runs: list[Run]


def read_experiment(path: Path) -> Experiment:
    """Reads an experiment's config.

    The file holds `sets`, `{name: dict(images=, scores=, labels=, classes=, ...)}`, and `runs`,
    `{name: refiner}`. A refiner may be a dict of lists under `grid=`, `{'update.sharpness': [value, ...]}`, over
    a base under `refiner=`: each combination is a run. Or it is one of each set, `by_set={set name: refiner}`.
    `per_set`, `{set name: options}`, has what the runs do not say themselves, see `for_set`.

    Raises:
        FileNotFoundError: if the file or a folder is missing.
        ValueError: if there are no sets or no runs, or one of them is not as expected.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no such experiment: {path}')
    content = Config.fromfile(path).to_dict()
    if not content.get('sets') or not content.get('runs'):
        raise ValueError(f'{path}: expected sets = dict(...) and runs = dict(...)')
    sets = {name: _image_set(name, options) for name, options in content['sets'].items()}
    runs = []
    for name, entry in content['runs'].items():
        for label, refiner in _expand(name, entry):
            own = refiner.get('by_set') or dict.fromkeys(sets, refiner)
            if unknown := sorted(set(own) - set(sets)):
                raise ValueError(f'run {label}: expected sets of {list(sets)}, got {unknown}')
            runs += [Run(label, s, for_set(own[s], content.get('per_set', {}).get(s, {}))) for s in sets if s in own]
    return Experiment(sets, runs)


def _image_set(name: str, options: dict[str, Any]) -> ImageSet:
    missing = [key for key in PATHS if key not in options]
    if missing:
        raise ValueError(f'set {name}: expected {", ".join(PATHS)}, got no {", ".join(missing)}')
    paths = {key: Path(options[key]) for key in PATHS}
    return ImageSet(name, **{**options, **paths})


def _expand(name: str, entry: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """One entry of `runs`, or one for each combination of its grid."""
    if 'grid' not in entry:
        return [(name, entry)]
    if 'refiner' not in entry:
        raise ValueError(f'run {name}: expected refiner= beside grid=, got {sorted(entry)}')
    keys, lists = list(entry['grid']), list(entry['grid'].values())
    combinations = [dict(zip(keys, values, strict=True)) for values in itertools.product(*lists)]
    return [
        (f'{name} ' + ' '.join(f'{k}={_short(v)}' for k, v in c.items()), _with_options(entry['refiner'], c))
        for c in combinations
    ]


def _with_options(refiner: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The refiner with options by dotted key."""
    config = Config(refiner)
    config.merge_from_dict(options)
    return config.to_dict()


def _short(value: Any) -> str:
    return str(value).replace(' ', '')


def for_set(refiner: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """A run's refiner on a set: what the run says itself stands, also inside its parts.

    Args:
        refiner: config of the run.
        options: of the set: `classes`, for the refiner or the whole chain; the others, such as the prior, for every
            `G4SegRefiner` in it.
    """
    inner = {name: value for name, value in options.items() if name != 'classes'}
    filled = _fill_g4seg(refiner, inner)
    return _fill(filled, {'classes': options['classes']}) if 'classes' in options else filled


def _fill_g4seg(refiner: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Options of every G4Seg refiner of a chain that does not set them itself."""
    if 'refiners' in refiner:
        return {**refiner, 'refiners': [_fill_g4seg(r, options) for r in refiner['refiners']]}
    return _fill(refiner, options) if refiner.get('type') == 'G4SegRefiner' else dict(refiner)


def _fill(config: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The config, and the options that it does not have, part by part."""
    filled = {**options, **config}
    for name in options.keys() & config.keys():
        own, given = config[name], options[name]
        if isinstance(own, dict) and isinstance(given, dict):
            # options of another kind of part than the run chose would be errors in it
            kinds = {own.get('type'), given.get('type')} - {None}
            filled[name] = _fill(own, given) if len(kinds) < 2 else own
    return filled


def check_selection(option: str, asked: Sequence[str] | None, known: Iterable[str]) -> None:
    """Names that the config does not have would leave a table without them."""
    known = list(dict.fromkeys(known))
    unknown = sorted(set(asked or ()) - set(known))
    if unknown:
        raise SystemExit(f'{option}: expected some of {known}, got {unknown}')
