"""What is wrong with the files of a data set, in words: what was expected, what came, the remedy."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .pairs import FolderContent, Pairs
from .settings import CONTENTS


def stop_at(name: object, problems: Sequence[str]) -> None:
    """Raises FileNotFoundError where there are problems with the files of a data set, which it names."""
    if problems:
        raise FileNotFoundError(f'{name}: ' + '\n'.join([*problems, 'g4seg check-dataset CONFIG shows more']))


def folder_problems(missing: Sequence[tuple[str, str]], root: str | None) -> list[str]:
    """Which folders, or which list of names, are missing."""
    return [
        f'{path} is missing: expected the list of image names (ann_file)'
        if key == 'ann_file'
        else f'{path} is missing: expected the folder of {CONTENTS[key]} (data_prefix {key}); put it there or set '
        f'data_root, which is {root!r}'
        for key, path in missing
    ]


def pair_problems(pairs: Pairs) -> list[str]:
    """Which images or label files are missing, with the suffixes that are there."""
    problems, images, labels, count = [], pairs.images, pairs.labels, len(pairs.listed)
    if not pairs.listed:
        problems.append(f"{images.path} has no image that ends in '{images.suffix}' (img_suffix); {_endings(images)}")
    if pairs.missing_images:
        problems.append(
            f'{len(pairs.missing_images)} of {count} listed images are missing in {images.path}, '
            f"{pairs.missing_images[0]} first (img_suffix='{images.suffix}'); {_endings(images)}"
        )
    if pairs.missing_labels:
        expected = [info['seg_map_path'] for info in pairs.listed]
        problems.append(
            f'{len(pairs.missing_labels)} of {count} images have no label file in {labels.path}, '
            f"{pairs.missing_labels[0]} first (seg_map_suffix='{labels.suffix}'); {_suffixes(labels, expected)}"
        )
    return problems


def _endings(folder: FolderContent) -> str:
    """The endings that a folder does have."""
    endings = Counter(Path(name).suffix for name in folder.files).most_common(3)
    if not endings:
        return 'the folder is empty'
    return 'it has ' + ', '.join(f"{count} files in '{ending}'" for ending, count in endings)


def _suffixes(folder: FolderContent, expected: Sequence[str]) -> str:
    """The suffixes by which the expected files would be found, as a setting."""
    fitting = folder.fitting_suffixes(expected)
    if not fitting or folder.suffix in fitting:
        return _endings(folder)
    shown = list(fitting.items())[:3]
    there = ' and '.join(f"{count} in '{suffix}'" for suffix, count in shown)
    suffixes = ' or '.join(f"'{suffix}'" for suffix, _ in shown)
    return f'of their names there are {there}: if those are the labels, set seg_map_suffix to {suffixes}'
