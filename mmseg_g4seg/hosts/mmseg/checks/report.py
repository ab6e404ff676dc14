"""What a check of a data set found, as text."""

from dataclasses import dataclass, field
from typing import Any

from mmseg_g4seg.hosts.mmseg.datasets.settings import class_names

from .examiner import Findings
from .label_statistics import LabelStatistics
from .wording import all_notes, all_problems


@dataclass
class CheckReport:
    """What was found; `report.json` has the same entries.

    Attributes:
        dataset: the data set's class.
        split: of the config.
        folders: where images and labels are looked for, and by which suffix.
        counts: images, pairs, missing_images, missing_labels, orphan_labels, unlabelled images.
        image_sizes: smallest, most common and largest (by area), [W, H], and how many sizes there are.
        classes: a row a class: id, name, pixels, share of all pixels in per cent, images.
        ignored_share: in per cent.
        unexpected_ids: raw id, files, first file.
        unlabelled: paths of the images that are wholly ignored.
        problems: what has to be mended, in words with the remedy.
        notes: what may be meant.
        files: names of the files and folders that were written.
    """

    dataset: str
    split: str
    folders: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    image_sizes: dict[str, Any] = field(default_factory=dict)
    classes: list[dict[str, Any]] = field(default_factory=list)
    ignored_share: float = 0.0
    unexpected_ids: list[dict[str, Any]] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=lambda: ['report.json', 'table.txt'])

    def table(self) -> str:
        """The report as text."""
        lines = [f'{self.dataset}, {self.split} split', *(f'  {k}: {v}' for k, v in self.folders.items())]
        lines += ['  '.join(f'{name.replace("_", " ")} {count}' for name, count in self.counts.items())]
        if self.image_sizes:
            lines += ['image sizes (W x H): ' + self._sizes_text()]
        if self.classes:
            width = max(len('ignored'), *(len(row['name']) for row in self.classes))
            lines += ['', f'{"id":>3}  {"class":<{width}}  {"pixels %":>8}  {"images":>6}']
            for row in self.classes:
                lines.append(f'{row["id"]:3d}  {row["name"]:<{width}}  {row["share"]:8.2f}  {row["images"]:6d}')
            lines += [f'     {"ignored":<{width}}  {self.ignored_share:8.2f}', '']
        lines += [f'note: {note}' for note in self.notes]
        lines += [f'problem: {problem}' for problem in self.problems] or ['no problems found']
        return '\n'.join(lines)

    def _sizes_text(self) -> str:
        sizes = {key: '{} x {}'.format(*self.image_sizes[key]) for key in ('smallest', 'most_common', 'largest')}
        if self.image_sizes['different'] == 1:
            return f'{sizes["smallest"]}, all'
        named = ', '.join(f'{key.replace("_", " ")} {text}' for key, text in sizes.items())
        return f'{named}; {self.image_sizes["different"]} different'


def report_of(found: Findings, split: str) -> CheckReport:
    """The figures of an examination that read the labels, and what is wrong, in words.

    Args:
        found: by the examination.
        split: of the config.
    """
    report = CheckReport(str(found.settings.get('type', 'none')), split)
    report.problems, report.notes = all_problems(found, f'{split}_dataloader'), all_notes(found)
    if found.dataset is None or found.pairs is None or found.labels is None:
        return report
    pairs, labels = found.pairs, found.labels
    report.folders = {
        'images': f'{pairs.images.path} (*{pairs.images.suffix})',
        'labels': f'{pairs.labels.path} (*{pairs.labels.suffix})',
    }
    report.counts = {
        'images': len(pairs.listed),
        'pairs': len(pairs.found),
        'missing_images': len(pairs.missing_images),
        'missing_labels': len(pairs.missing_labels),
        'orphan_labels': len(pairs.orphan_labels),
        'unlabelled_images': len(labels.unlabelled),
    }
    report.unlabelled = labels.unlabelled
    if sizes := labels.image_sizes:
        by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        chosen = {'smallest': by_area[0], 'most_common': sizes.most_common(1)[0][0], 'largest': by_area[-1]}
        report.image_sizes = {**{key: list(size) for key, size in chosen.items()}, 'different': len(sizes)}
    report.classes = _class_rows(labels, class_names(found.dataset))
    report.ignored_share = _share(labels.ignored, labels)
    report.unexpected_ids = [
        {'id': raw, 'files': files, 'first_file': first} for raw, (files, first) in sorted(labels.unexpected.items())
    ]
    return report


def _class_rows(labels: LabelStatistics, names: list[str]) -> list[dict[str, Any]]:
    """A row a class; without names a row a label id that occurs."""
    counts = zip(labels.pixels.tolist(), labels.images.tolist(), strict=True)
    return [
        {
            'id': i,
            'name': names[i] if names else str(i),
            'pixels': pixels,
            'share': _share(pixels, labels),
            'images': images,
        }
        for i, (pixels, images) in enumerate(counts)
        if names or pixels
    ]


def _share(pixels: int, labels: LabelStatistics) -> float:
    """Of all pixels, in per cent."""
    return round(100 * pixels / max(1, sum(labels.raw_pixels.values())), 4)
