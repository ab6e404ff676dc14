"""What a check of a data set found, as text."""

from dataclasses import dataclass, field
from typing import Any


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
