"""What is found of a data set: folders, images and label files, classes, sizes, ids. No words, no pictures.

Shapes: C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mmseg.datasets import BaseSegDataset
from tqdm import tqdm

from mmseg_g4seg.hosts.mmseg.datasets.checked_pairs import CheckedPairs
from mmseg_g4seg.hosts.mmseg.datasets.label_rules import LabelRules
from mmseg_g4seg.hosts.mmseg.datasets.pairs import Info, Pairs, find_pairs
from mmseg_g4seg.hosts.mmseg.datasets.settings import Folders, Settings, build_dataset, class_names

from .label_statistics import LabelStatistics, read_pairs

BUILD_ERRORS = (AssertionError, ImportError, KeyError, OSError, TypeError, ValueError)
"""What data set classes raise on a setting that they do not like."""
PIPELINE_ERRORS = (*BUILD_ERRORS, AttributeError, IndexError, RuntimeError)


@dataclass
class Findings:
    """What was found, as far as the examination came.

    Attributes:
        settings: of the data set, in the config.
        folders: where its files are looked for.
        missing: (setting, path) of folders, and of the list of names, that are not there.
        error: why the data set could not be built.
        dataset: the data set, its files listed.
        pairs: its images and label files.
        labels: what the label files hold, where they were read.
        readable: the pairs that could be read.
        pipeline_error: of the first readable pair.
    """

    settings: Settings
    folders: Folders
    missing: list[tuple[str, str]] = field(default_factory=list)
    error: Exception | None = None
    dataset: BaseSegDataset | None = None
    pairs: Pairs | None = None
    labels: LabelStatistics | None = None
    readable: list[Info] = field(default_factory=list)
    pipeline_error: Exception | None = None


def examine(settings: Settings, *, read_labels: bool = False) -> Findings:
    """Examines a data set; a missing folder, or a class that stops, ends it there.

    Args:
        settings: of one data set, in a config.
        read_labels: read every label file, too, and run the pipeline once. Without, no transform is built.
    """
    found = Findings(settings, Folders.named_by(settings))
    found.missing = found.folders.missing()
    if found.missing:
        return found
    try:
        dataset = build_dataset(settings, **({} if read_labels else {'pipeline': []}))
    except BUILD_ERRORS as error:
        found.error = error
        return found
    found.folders = Folders.of(dataset)
    found.missing = found.folders.missing()
    if found.missing:
        return found
    if isinstance(dataset, CheckedPairs):
        dataset.stops = False  # what else there is would stay hidden
    dataset.full_init()
    found.dataset, found.pairs = dataset, find_pairs(dataset, dataset.data_list)
    if read_labels:
        _read_labels(found, dataset, found.pairs.found)
    return found


def rules_of(dataset: BaseSegDataset, pairs: Sequence[Info]) -> LabelRules:
    """From the ids in a data set's label files to its classes."""
    # without names every id is a class of its own; a map from raw ids is the same for all images
    count, label_map = len(class_names(dataset)) or 256, pairs[0].get('label_map') if pairs else None
    return LabelRules(count, dataset.ignore_index, dataset.reduce_zero_label, label_map)


def _read_labels(found: Findings, dataset: BaseSegDataset, pairs: list[Info]) -> None:
    found.labels = LabelStatistics(rules_of(dataset, pairs))
    for info, facts in tqdm(read_pairs(pairs), 'reading labels', total=len(pairs), unit='file'):
        found.labels.add(info, facts)
        if not facts.problem:
            found.readable.append(info)
    if found.readable:
        try:  # settings of the pipeline and of the data set may contradict each other
            dataset.pipeline({**found.readable[0], 'seg_fields': [], 'sample_idx': 0})
        except PIPELINE_ERRORS as error:
            found.pipeline_error = error
