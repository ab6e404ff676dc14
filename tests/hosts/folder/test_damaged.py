"""Two hundred damaged inputs: none stops the run, none is taken for good, each is named."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mmseg_g4seg.io.formats import FORMATS, LABELS, SCORES, build_format
from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import CLASSES, SIZE, contents, make_task, random_pixels, random_prediction

OBJECT = ClassList(['background', 'cat'])
DIRECTORY = None
PROBS = random_prediction(5).probs.numpy()
MAPS = PROBS[1:3]


def saved(save: Callable, *arguments: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *arguments)
    return buffer.getvalue()


def picture(array: np.ndarray, file_format: str = 'PNG', mode: str | None = None) -> bytes:
    image = Image.fromarray(array)
    return saved((image.convert(mode) if mode else image).save, file_format)


class Call:
    def __init__(self, flag: str) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.flag}',)


def with_value(array: np.ndarray, value: float, generator: np.random.Generator) -> np.ndarray:
    changed = array.copy()
    changed[tuple(generator.integers(0, array.shape))] = value
    return changed


def seed(name: str, keys: list, maps: Any) -> bytes:
    if name == 'diffsegmenter':
        return saved(savemat, {str(key): values * 255 for key, values in zip(keys, maps, strict=True)})
    if name in ('irn', 'clip-es'):
        map_name = {'irn': 'high_res', 'clip-es': 'attn_highres'}[name]
        return saved(np.save, np.array({'keys': np.array(keys), map_name: maps}, object))
    return saved(np.save, np.array(dict(zip(keys, maps, strict=True)), object))


def wrong_masks(name: str, flag: str, generator: np.random.Generator) -> dict[str, bytes]:
    """Whole files of the right kind, with four things in them that cannot be."""
    labels = random_prediction(5).label_map.numpy().astype(np.uint8)
    if name == 'index-png':
        return {
            'unknown id': picture(with_value(labels, 4, generator).astype(np.uint8)),
            'id above a byte': picture(with_value(labels.astype(np.uint16), 1000, generator)),
            'colours': picture(random_pixels()),
            'two channels': picture(labels, mode='LA'),
        }
    if name == 'palette-png':
        pixels = voc_palette()[labels]
        return {
            'unknown colour': picture(with_value(pixels, 77, generator)),
            'colour of no class': picture(voc_palette()[with_value(labels, 4, generator)]),
            'grey': picture(labels),
            'transparent': picture(pixels, mode='RGBA'),
        }
    if name == 'binary-png':
        return {
            'third value': picture(with_value(labels % 2, 7, generator)),
            'soft': picture((PROBS[1] * 255).astype(np.uint8)),
            'colours': picture(random_pixels()),
            'sixteen bits': picture((labels % 2).astype(np.uint16)),
        }
    if name in SCORES:
        contents = {
            'NaN': with_value(PROBS, np.nan, generator),
            'infinite': with_value(PROBS, np.inf, generator),
            'negative': with_value(PROBS, -1, generator),
            'integers': (PROBS * 100).astype(np.int64),
        }
        save = np.savez if name == 'npz' else np.save
        return {what: saved(save, probs) for what, probs in contents.items()}
    if name == 'diffsegmenter':  # which no pickle is in
        last = {'keys of letters': seed(name, ['cat', 'dog'], MAPS)}
    else:
        last = {'runs a command': seed(name, [0, 1], [MAPS[0], Call(flag)])}
    return {
        'NaN': seed(name, [0, 1], with_value(MAPS, np.nan, generator)),
        'negative': seed(name, [0, 1], with_value(MAPS, -1, generator)),
        'unknown key': seed(name, [0, 99], MAPS),
        **last,
    }


def other_content(name: str) -> bytes:
    """What another tool's file holds."""
    if name in LABELS:
        return saved(np.save, PROBS)
    if name in SCORES:
        return picture(random_pixels())
    return seed('clip-es' if name == 'irn' else 'irn', [0, 1], MAPS)


def damaged_masks(name: str, flag: str, generator: np.random.Generator) -> dict[str, bytes | None]:
    """Fourteen masks that are none."""
    classes = OBJECT if name == 'binary-png' else CLASSES
    mask_format = build_format(name, classes)
    whole = mask_format.encode(random_prediction(5, len(classes)))
    larger = mask_format.encode(random_prediction(5, len(classes), (SIZE[0] + 1, SIZE[1])))
    return {
        **{f'cut {i}': whole[: generator.integers(1, len(whole) - 8)] for i in range(5)},
        'empty': b'',
        'text': b'a mask was here\n' * 9,
        'directory': DIRECTORY,
        'larger': larger,
        'of another tool': other_content(name),
        **wrong_masks(name, flag, generator),
    }


def damaged_images(generator: np.random.Generator) -> dict[str, tuple[str, bytes | None]]:
    """Six images that are none: suffix and content."""
    png, jpg = picture(random_pixels(5)), picture(random_pixels(5), 'JPEG')
    nothing = [('.jpg', b''), ('.png', b'an image was here'), ('.jpg', DIRECTORY), ('.png', jpg[:400])]
    return {
        'cut png': ('.png', png[: generator.integers(1, len(png) - 8)]),
        'cut jpg': ('.jpg', jpg[: generator.integers(1, len(jpg) - 2)]),
        'of sixteen bits': ('.png', picture(random_pixels(5)[..., 0].astype(np.uint16) * 257)),
        'smaller': ('.bmp', picture(random_pixels(5, (SIZE[0], SIZE[1] - 1)), 'BMP')),
        **{f'nothing {i}': nothing[i] for i in generator.choice(len(nothing), 2, replace=False)},
    }


def put(path: Path, content: bytes | None) -> Path:
    if content is DIRECTORY:
        path.mkdir()
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize('name', FORMATS)
def test_none_is_taken_and_each_is_named(tmp_path, tool, config, name):
    generator = np.random.default_rng(FORMATS.index(name))
    classes = OBJECT if name == 'binary-png' else CLASSES
    task = make_task(tmp_path, input_format=name, classes=classes)
    arguments = ['--classes', ','.join(classes.names), '--format', name, '--refiner', config]
    assert tool(task.images, task.masks, task.out, *arguments) == 0
    undisturbed = contents(task.out)

    flag, whole = str(tmp_path / 'flag'), build_format(name, classes).encode(random_prediction(5, len(classes)))
    at_fault = set()
    suffix = task.reader().suffix
    for what, content in damaged_masks(name, flag, generator).items():
        put(task.images / f'{what}.png', picture(random_pixels(5)))
        at_fault.add(str(put(task.masks / f'{what}{suffix}', content)))
    for what, (image_suffix, content) in damaged_images(generator).items():
        mask = put(task.masks / f'{what}{suffix}', whole)
        image = put(task.images / f'{what}{image_suffix}', content)
        at_fault.add(str(mask if what == 'smaller' else image))
    assert len(at_fault) == 20

    out = tmp_path / 'beside'
    assert tool(task.images, task.masks, out, *arguments) == 1
    report = json.loads((out / 'report.json').read_text())
    assert {error['path'] for error in report['errors']} == at_fault
    assert all(error['error'] for error in report['errors'])
    table = (out / 'table.txt').read_text()
    assert all(path in table for path in at_fault)
    results = {path.name: path.read_bytes() for path in out.glob('image_*')}
    assert results == {file: content for file, content in undisturbed.items() if file.startswith('image_')}
    assert len(list(out.iterdir())) == len(results) + 2
    assert not Path(flag).exists()
