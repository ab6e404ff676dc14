"""What is wrong with a data set, in words: what was expected, what came, the remedy."""

from collections.abc import Collection, Sequence

from mmseg.datasets import BaseSegDataset

from mmseg_g4seg.hosts.mmseg.datasets.cityscapes_ids import TRAIN_IDS
from mmseg_g4seg.hosts.mmseg.datasets.file_wording import folder_problems, pair_problems
from mmseg_g4seg.hosts.mmseg.datasets.label_rules import LabelRules
from mmseg_g4seg.hosts.mmseg.datasets.settings import class_names
from mmseg_g4seg.io.object_masks import OBJECT

from .examiner import Findings
from .label_statistics import LabelStatistics

NO_NAMES = (
    "the data set has no class names: expected metainfo=dict(classes=[...]) in the config's {loader}.dataset (or a "
    "data set class with METAINFO['classes'])"
)
NO_PALETTE = (
    'the data set has no palette: expected metainfo=dict(classes=(...), palette=[[r, g, b], ...]) in {loader}.dataset, '
    'or a data set class that has them'
)


def all_problems(found: Findings, loader: str) -> list[str]:
    """Everything that has to be mended.

    Args:
        found: by an examination that read the labels.
        loader: `test_dataloader` or the like, which the remedies name.
    """
    problems = folder_problems(found.missing, found.folders.root)
    if found.error is not None:
        problems.append(f'the data set cannot be built: {type(found.error).__name__}: {found.error}')
    if found.dataset is None or found.pairs is None:
        return problems
    given = {**type(found.dataset).METAINFO, **(found.settings.get('metainfo') or {})}
    problems += [
        text.format(loader=loader)
        for key, text in (('classes', NO_NAMES), ('palette', NO_PALETTE))
        if not given.get(key)
    ]
    if found.folders.prefixes.get('seg_map_path') is None:
        problems.append('the data set has no labels: expected seg_map_path in data_prefix')
    problems += pair_problems(found.pairs)
    if found.labels is not None:
        problems += label_problems(found.labels, found.dataset)
    if found.pipeline_error is not None:
        error, image = found.pipeline_error, found.readable[0]['img_path']
        problems.append(f'the pipeline fails on {image}: {type(error).__name__}: {error}')
    return problems


def object_mask_problems(raw_ids: Collection[int], rules: LabelRules) -> list[str]:
    """What is wrong with label files whose object is 255, which mmseg leaves out.

    Args:
        raw_ids: that occur in the label files.
        rules: from raw ids to classes.
    """
    background, unlabelled = rules.table[0] < rules.num_classes, rules.table[OBJECT] >= rules.num_classes
    # of 256 classes and more, 255 is one; and where 0 is ignored nothing has a class, which is said elsewhere
    if not (background and unlabelled and OBJECT in raw_ids and set(raw_ids) <= {0, OBJECT}):
        return []
    remedy = (
        "are these masks of one object? mmseg takes 255 for unlabelled: write 1 in its place, as Pillow's "
        'Image.eval(mask, lambda value: value // 255) does'
        if rules.num_classes == 2
        else 'are these masks of one object? give the label files of all classes, or name two, background and object'
    )
    return [f'no label ids but 0 and 255 occur in the whole set, and 255 has no class: {remedy}']


def label_problems(labels: LabelStatistics, dataset: BaseSegDataset) -> list[str]:
    """What is wrong with the content of the label files."""
    problems, expected = list(labels.problems), labels.rules.expected
    if labels.other_size:
        path, label_size, image_size, note = labels.other_size[0]
        problems.append(
            f'{len(labels.other_size)} label files have another size than their image, {path} first: {label_size[0]} x '
            f'{label_size[1]} for {image_size[0]} x {image_size[1]}{note or "; take labels of the same release"}'
        )
    unexpected = sorted(labels.unexpected.items())
    problems += [
        f'label id {raw} in {files} files, {first} first: expected {expected}; {_remedy(dataset)}'
        for raw, (files, first) in unexpected[:5]
    ]
    if len(unexpected) > 5:
        problems.append(f'{len(unexpected) - 5} more label ids that do not belong, see report.json')
    raw_ids = set(labels.raw_pixels)
    problems += object_mask_problems(raw_ids, labels.rules)
    if getattr(dataset, 'label_ids', None) == 'labelIds' and raw_ids and raw_ids <= TRAIN_IDS:
        problems.append(
            "label_ids is 'labelIds', but no id above 18 occurs (Cityscapes' sky is 23, its car 26): these look like "
            "training ids; set label_ids='trainIds'"
        )
    if labels.wholly_ignored:
        problems.append(
            f'no pixel of the whole set has a class: ids {sorted(raw_ids)} are all ignored; expected ids of classes '
            f'among {expected}: set what the config says of the labels (seg_map_suffix, reduce_zero_label, label_map, '
            'label_ids) to what the files hold'
        )
    return problems


def all_notes(found: Findings) -> list[str]:
    """What may be meant."""
    notes = []
    if found.pairs is not None and (orphans := found.pairs.orphan_labels):
        notes.append(f'{len(orphans)} label files have no image, {orphans[0]} first: they are not used')
    if found.labels is None or found.dataset is None:
        return notes
    labels, names = found.labels, class_names(found.dataset)
    if labels.unlabelled and not labels.wholly_ignored:
        notes.append(f'{len(labels.unlabelled)} images are wholly ignored: {_listed(labels.unlabelled)}')
    never = [name for name, images in zip(names, labels.images.tolist(), strict=False) if not images]
    if never and labels.pixels.any():
        notes.append(f'{len(never)} of {len(names)} classes never occur: {_listed(never)}')
    return notes


def _remedy(dataset: BaseSegDataset) -> str:
    if hasattr(dataset, 'label_ids'):
        other = 'labelIds' if dataset.label_ids == 'trainIds' else 'trainIds'
        return f'set label_ids={other!r} if the files hold those, or take the files from the release again'
    zero = 'is a class' if dataset.reduce_zero_label else 'is ignored'
    value = not dataset.reduce_zero_label
    return f'set reduce_zero_label={value} if 0 {zero} in the files, or convert them (tools/dataset_converters)'


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f' and {len(names) - most} more, see report.json' if len(names) > most else ''
    return ', '.join(names[:most]) + more
