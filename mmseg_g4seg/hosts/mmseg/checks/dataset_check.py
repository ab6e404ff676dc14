"""Looks a data set over before an hour is spent on it: files, sizes, ids, pictures.

Shapes: C classes.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from tqdm import tqdm

from mmseg_g4seg.hosts.mmseg.datasets.cityscapes_ids import TRAIN_IDS
from mmseg_g4seg.hosts.mmseg.datasets.label_rules import LabelRules
from mmseg_g4seg.io.atomic import atomic_write

from .check_report import CheckReport
from .label_statistics import UNREADABLE, LabelStatistics, read_pairs
from .overlays import Overlay, contact_sheet, draw_overlay, side_by_side
from .pairs import CheckedPairs, Info, PairReport, examine_pairs, folder_problems

SplitName = Literal['train', 'val', 'test']
BUILD_ERRORS = (AssertionError, ImportError, KeyError, OSError, TypeError, ValueError)
OVERLAYS, SHEET = 'overlays', 'contact_sheet.png'
OVERLAY_NAME = re.compile(r'\d\d+_.*\.png')


def check_dataset(config: Config, split: SplitName, out: Path, *, images: int = 10, seed: int = 0) -> CheckReport:
    """Checks the data set of a config; writes `report.json`, `table.txt`, `overlays/` and `contact_sheet.png`.

    Labels are read by the data set's own rules (`reduce_zero_label`, `label_map`). The pictures of an earlier check
    are removed first.

    Args:
        config: any config with `{split}_dataloader`; no model is built.
        split: which one.
        out: folder of the results.
        images: how many overlays, of random pairs that can be read.
        seed: of their choice.

    Returns:
        The report; the data set is fit for a run where `problems` is empty.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    out.mkdir(parents=True, exist_ok=True)
    _remove_pictures(out)
    loader = config.get(f'{split}_dataloader') or {}
    settings = _innermost(loader.get('dataset') or {})
    report = CheckReport(str(settings.get('type', 'none')), split)
    dataset = _build(settings, report)
    if dataset is not None:
        _examine(dataset, settings, report, out, images, seed)
    atomic_write(out / 'report.json', json.dumps(asdict(report), indent=1) + '\n')
    atomic_write(out / 'table.txt', report.table() + '\n')
    return report


def _remove_pictures(out: Path) -> None:
    """Removes what an earlier check drew, and nothing else."""
    (out / SHEET).unlink(missing_ok=True)
    if (out / OVERLAYS).is_dir():
        for path in (out / OVERLAYS).iterdir():
            if OVERLAY_NAME.fullmatch(path.name):
                path.unlink()


def _innermost(settings: dict[str, Any]) -> dict[str, Any]:
    """The data set inside wrappers such as RepeatDataset."""
    while 'dataset' in settings:
        settings = settings['dataset']
    return settings


def _build(settings: dict[str, Any], report: CheckReport) -> BaseSegDataset | None:
    """Builds the data set without listing its files; None where it cannot be, and why in the report."""
    if not settings:
        report.problems.append(f'the config has no data set in {report.split}_dataloader: choose another --split')
        return None
    if 'datasets' in settings:
        report.problems.append(f'{report.dataset} joins several data sets: check the config of each by itself')
        return None
    # before it is built: some of mmseg's classes stop without a word where a folder is missing
    missing = folder_problems(named_folders(settings))
    if missing:
        report.problems += missing
        return None
    try:
        dataset = DATASETS.build(ConfigDict({**settings, 'lazy_init': True, 'serialize_data': False}))
    except BUILD_ERRORS as error:
        report.problems.append(f'the data set cannot be built: {type(error).__name__}: {error}')
        return None
    if not isinstance(dataset, BaseSegDataset):
        report.problems.append(f"expected a subclass of mmseg's BaseSegDataset, got {type(dataset).__name__}")
        return None
    return dataset


def named_folders(settings: dict[str, Any]) -> Any:
    """The folders that a config names, as a data set has them once it is built."""
    root = settings.get('data_root') or ''
    prefixes = settings.get('data_prefix') or {'img_path': ''}
    ann_file = settings.get('ann_file', '')
    return SimpleNamespace(
        data_root=root,
        data_prefix={key: None if value is None else str(Path(root, value)) for key, value in prefixes.items()},
        ann_file=str(Path(root, ann_file)) if ann_file else '',
        backend_args=settings.get('backend_args'),
    )


def _examine(
    dataset: BaseSegDataset, settings: dict[str, Any], report: CheckReport, out: Path, images: int, seed: int
) -> None:
    """Fills the report and draws."""
    report.folders = {
        'images': f'{dataset.data_prefix.get("img_path")} (*{dataset.img_suffix})',
        'labels': f'{dataset.data_prefix.get("seg_map_path")} (*{dataset.seg_map_suffix})',
    }
    _check_metainfo(dataset, settings, report)
    if dataset.data_prefix.get('seg_map_path') is None:
        report.problems.append('the data set has no labels: expected seg_map_path in data_prefix')
    infos = list_infos(dataset)
    found = examine_pairs(dataset, infos)
    report.problems += found.problems
    if found.orphan_labels:
        report.notes.append(
            f'{len(found.orphan_labels)} label files have no image, {found.orphan_labels[0]} first: they are not used'
        )
    statistics = LabelStatistics(_rules(dataset, found))
    readable = []
    for info, facts in tqdm(read_pairs(found.pairs), 'reading labels', total=len(found.pairs), unit='file'):
        statistics.add(info, facts)
        if not facts.problem:
            readable.append(info)
    _report_statistics(dataset, report, found, statistics, len(infos))
    _check_labels(dataset, report, statistics)
    if readable:
        _check_pipeline(dataset, readable[0], report)
        _draw(dataset, readable, statistics.rules, report, out, images, seed)


def list_infos(dataset: BaseSegDataset) -> list[Info]:
    """What a run would use, without the check that stops it."""
    infos = dataset.list_pairs() if isinstance(dataset, CheckedPairs) else dataset.load_data_list()
    dataset.data_list = infos
    dataset.data_list = dataset.filter_data()
    return dataset.data_list if dataset._indices is None else dataset._get_unserialized_subset(dataset._indices)


def _class_names(dataset: BaseSegDataset) -> list[str]:
    """Names of the classes; without any, ids stand for themselves."""
    return list(dataset.metainfo.get('classes') or map(str, range(256)))


def _check_metainfo(dataset: BaseSegDataset, settings: dict[str, Any], report: CheckReport) -> None:
    given = {**type(dataset).METAINFO, **(settings.get('metainfo') or {})}
    for key, what in (('classes', 'class names'), ('palette', 'palette')):
        if not given.get(key):
            report.problems.append(
                f'the data set has no {what}: expected metainfo=dict(classes=(...), palette=[[r, g, b], ...]) in '
                f'{report.split}_dataloader.dataset, or a data set class that has them'
            )


def _rules(dataset: BaseSegDataset, found: PairReport) -> LabelRules:
    first = found.pairs[0] if found.pairs else {}
    return LabelRules(
        len(_class_names(dataset)), dataset.ignore_index, dataset.reduce_zero_label, first.get('label_map')
    )


def _report_statistics(
    dataset: BaseSegDataset, report: CheckReport, found: PairReport, statistics: LabelStatistics, images: int
) -> None:
    report.counts = {
        'images': images,
        'pairs': len(found.pairs),
        'missing_images': len(found.missing_images),
        'missing_labels': len(found.missing_labels),
        'orphan_labels': len(found.orphan_labels),
        'unlabelled_images': len(statistics.unlabelled),
    }
    report.unlabelled = statistics.unlabelled
    sizes = statistics.image_sizes
    if sizes:
        by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        chosen = {'smallest': by_area[0], 'most_common': sizes.most_common(1)[0][0], 'largest': by_area[-1]}
        report.image_sizes = {**{key: list(size) for key, size in chosen.items()}, 'different': len(sizes)}
    total = max(1, sum(statistics.raw_pixels.values()))
    report.classes = [
        {'id': i, 'name': name, 'pixels': pixels, 'share': round(100 * pixels / total, 4), 'images': count}
        for i, (name, pixels, count) in enumerate(
            zip(_class_names(dataset), statistics.pixels.tolist(), statistics.images.tolist(), strict=True)
        )
        if dataset.metainfo.get('classes') or pixels
    ]
    report.ignored_share = round(100 * statistics.ignored / total, 4)
    report.unexpected_ids = [
        {'id': raw, 'files': files, 'first_file': first}
        for raw, (files, first) in sorted(statistics.unexpected.items())
    ]


def _check_labels(dataset: BaseSegDataset, report: CheckReport, statistics: LabelStatistics) -> None:
    """Says what is wrong with the label files' content."""
    report.problems += statistics.problems
    if statistics.other_size:
        path, label_size, image_size = statistics.other_size[0]
        report.problems.append(
            f'{len(statistics.other_size)} label files have another size than their image, {path} first: '
            f'{label_size[0]} x {label_size[1]} for {image_size[0]} x {image_size[1]}; take labels of the same release'
        )
    for row in report.unexpected_ids[:5]:
        report.problems.append(
            f'label id {row["id"]} in {row["files"]} files, {row["first_file"]} first: expected '
            f'{statistics.rules.expected}; {_remedy(dataset)}'
        )
    if len(report.unexpected_ids) > 5:
        report.problems.append(f'{len(report.unexpected_ids) - 5} more label ids that do not belong, see report.json')
    raw_ids = set(statistics.raw_pixels)
    if getattr(dataset, 'label_ids', None) == 'labelIds' and raw_ids and raw_ids <= TRAIN_IDS:
        report.problems.append(
            "label_ids is 'labelIds', but no id above 18 occurs (Cityscapes' sky is 23, its car 26): these look like "
            "training ids; set label_ids='trainIds'"
        )
    if raw_ids and statistics.ignored == sum(statistics.raw_pixels.values()):
        report.problems.append(
            f'no pixel of the whole set has a class: ids {sorted(raw_ids)} are all ignored; expected ids of classes '
            f'among {statistics.rules.expected}: set what the config says of the labels (seg_map_suffix, '
            'reduce_zero_label, label_map, label_ids) to what the files hold'
        )
    elif report.unlabelled:
        report.notes.append(f'{len(report.unlabelled)} images are wholly ignored: {_listed(report.unlabelled)}')
    never = [row['name'] for row in report.classes if not row['images']]
    if never and statistics.pixels.any():
        report.notes.append(f'{len(never)} of {len(report.classes)} classes never occur: {_listed(never)}')


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f' and {len(names) - most} more, see report.json' if len(names) > most else ''
    return ', '.join(names[:most]) + more


def _remedy(dataset: BaseSegDataset) -> str:
    if hasattr(dataset, 'label_ids'):
        other = 'labelIds' if dataset.label_ids == 'trainIds' else 'trainIds'
        return f'set label_ids={other!r} if the files hold those, or take the files from the release again'
    if not dataset.reduce_zero_label:
        return 'set reduce_zero_label=True if 0 is ignored in the files, or convert them (tools/dataset_converters)'
    return 'set reduce_zero_label=False if 0 is a class in the files, or convert them (tools/dataset_converters)'


def _check_pipeline(dataset: BaseSegDataset, info: Info, report: CheckReport) -> None:
    """Runs the pipeline once: settings of it and of the data set may contradict each other."""
    try:
        dataset.pipeline({**info, 'seg_fields': [], 'sample_idx': 0})
    except (*BUILD_ERRORS, AttributeError, IndexError, RuntimeError) as error:
        report.problems.append(f'the pipeline fails on {info["img_path"]}: {type(error).__name__}: {error}')


def _draw(
    dataset: BaseSegDataset,
    pairs: list[Info],
    rules: LabelRules,
    report: CheckReport,
    out: Path,
    images: int,
    seed: int,
) -> None:
    classes, palette = _class_names(dataset), dataset.metainfo.get('palette') or []
    if len(palette) < len(classes):
        return
    drawn: dict[int, Overlay] = {}
    for i in random.Random(seed).sample(range(len(pairs)), len(pairs)):
        if len(drawn) >= images:
            break
        try:
            drawn[i] = draw_overlay(pairs[i], rules, classes, palette)
        except UNREADABLE as error:  # of the image, of which only the header was read before
            report.problems.append(f'{pairs[i]["img_path"]}: {error}')
    if not drawn:
        return
    overlays = [drawn[i] for i in sorted(drawn)]
    (out / OVERLAYS).mkdir(exist_ok=True)
    for i, overlay in enumerate(overlays):
        side_by_side(overlay).save(out / OVERLAYS / f'{i:02d}_{Path(overlay.name).stem}.png')
    contact_sheet(overlays).save(out / SHEET)
    report.files += [OVERLAYS, SHEET]
