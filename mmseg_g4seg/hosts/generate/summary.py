"""What a run says of its pictures: the manifest, one a line, and a table by class."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

MANIFEST = 'manifest.jsonl'


def make_manifest(images: Sequence[Mapping[str, Any]], suffixes: Mapping[str, str]) -> str:
    """Lists the pictures, a JSON object a line.

    Args:
        images: records, see `pair_record`.
        suffixes: folders of the data set, and of their files.
    """
    lines = []
    for image in images:
        files = {folder: f'{folder}/{image["name"]}{suffix}' for folder, suffix in suffixes.items()}
        lines.append(json.dumps({**image, **files}, sort_keys=True) + '\n')
    return ''.join(lines)


def make_table(images: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Counts by class: pictures whose prompt names it, those of them without a pixel of it, its share of the others.

    Args:
        images: records, see `pair_record`.
        names: of the C classes.
    """
    width = max(map(len, [*names, 'class']))
    lines = [f'{"class":{width}}  named  without  area %']
    for name in names:
        areas = [image['areas'][name] for image in images if name in image['areas']]
        there = [area for area in areas if area > 0]
        if areas:
            mean = f'{100 * sum(there) / len(there):.2f}' if there else '-'
            lines.append(f'{name:{width}}  {len(areas):5}  {len(areas) - len(there):7}  {mean:>6}')
    return '\n'.join([*lines, f'{len(images)} pictures'])
