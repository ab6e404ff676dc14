"""Two lines from an image and its mask to a better mask, whatever library they come from.

Shapes: C classes, H W image size.

    refiner = load_refiner('tiny')
    refined = refiner(image, mask_or_probs, ['background', 'cat', 'dog'])
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mmseg_g4seg.diffusion.named import expected_names, named_prior
from mmseg_g4seg.io.config_files import find_config, read_config
from mmseg_g4seg.io.image_headers import frame_note
from mmseg_g4seg.io.images import rgb_pixels
from mmseg_g4seg.io.label_files import SIXTEEN_BIT, check_labels
from mmseg_g4seg.io.mask_files import as_labels, predict_labels
from mmseg_g4seg.io.object_masks import is_object_mask, object_labels, object_values
from mmseg_g4seg.ops.masks import BORDER_WIDTH, decide_labels
from mmseg_g4seg.ops.scores import check_sums
from mmseg_g4seg.prediction import ClassList, ClassName, Prediction
from mmseg_g4seg.refiners.base import Refiner, check_inputs
from mmseg_g4seg.refiners.build import build_refiner

SETTINGS = 'refiner.json'
"""File in a prior's folder with the settings that suit it."""

Maps = TypeVar('Maps', np.ndarray, Tensor, Image.Image)


def load_refiner(source: str | Path | dict[str, Any], *, device: str = 'cpu', **options: Any) -> 'ImageRefiner':
    """Loads a refiner.

    Args:
        source: `tiny` or another prior's name; the folder of a prior with a `refiner.json`, as
            `python -m projects.train_prior` writes it; a config file with a line `refiner = dict(type=...)`, such as
            `mmseg_g4seg::_base_/refiners/NAME.py`; or such a dict.
        device: where the refiner runs, such as `cuda`.
        options: override those of the source. Options of a part are merged with the part's other options:
            `load_refiner('tiny', update=dict(sharpness=20))`.

    Returns:
        An `ImageRefiner`. Call it with an image, a mask (or probabilities) and class names.

    Raises:
        FileNotFoundError: if the file or folder does not exist.
        ValueError: if the source has no refiner, or an option is not known.
    """
    refiner = build_refiner(merged(read_refiner_config(source), options))
    assert isinstance(refiner, Refiner)
    return ImageRefiner(refiner.to(device))


class ImageRefiner:
    """Refines masks of NumPy, PIL or torch, and returns the kind that it was given."""

    def __init__(self, refiner: Refiner, *, soften: float = BORDER_WIDTH) -> None:
        """Args:
        refiner: the refiner to run.
        soften: standard deviation of the Gaussian that blurs label maps, as a share of the longer side.
        """
        self.refiner, self.soften = refiner, soften

    def __call__(
        self,
        image: 'np.ndarray | Tensor | Image.Image',
        mask_or_probs: Maps,
        classes: Sequence[ClassName],
        *,
        key: int | str = 0,
    ) -> Maps:
        """Refines one image.

        Args:
            image: a PIL image, rotated by its EXIF tag; an array (H, W, 3) uint8 RGB in [0, 255] or float in [0, 1]; or
                a tensor (3, H, W) of these types.
            mask_or_probs: class indices (H, W), integer or PIL's `L` or `P`, with 255 unlabelled
                (`ClassList.ignore_index`); or float probabilities (C, H, W) that sum to 1. With two class names also a
                mask of one object, bool or 0 and 255: the object is the class that is not the background, else the
                second.
            classes: C names; the one called background is never refined. A `ClassList` overrides the config's.
            key: name or number of the image; key and seed determine the noise.

        Returns:
            The refined mask or probabilities, in the library, dtype and device of `mask_or_probs` (a PIL image keeps
            its mode and palette).

        Raises:
            TypeError: if image, mask or names have an unsupported type.
            ValueError: if shapes, ranges or names do not fit.
        """
        if not isinstance(classes, ClassList):
            classes = ClassList(classes).with_options(self.refiner.class_options)
        pixels, maps = as_image(image), _as_maps(mask_or_probs)
        _check_size(maps, pixels, image)
        if maps.is_floating_point():
            background, threshold = classes.background, classes.threshold
            coarse = Prediction(maps, decide_labels(maps, background_index=background, background_threshold=threshold))
            check_inputs([pixels], [coarse], len(classes))
            check_sums(maps)
            return _like(self.refiner.refine(pixels, coarse, classes, key=key).probs, mask_or_probs)
        is_object = _is_object(maps, classes)
        maps = object_labels(maps, classes) if is_object else maps
        check_labels(maps, len(classes), classes.ignore_index)
        # hard labels would leave no pixel in doubt, and so nothing to refine
        coarse, kept = predict_labels(maps, classes, soften=self.soften)
        found = self.refiner.refine(pixels, coarse, classes.subset(kept), key=key)
        refined = as_labels(found, classes.ignore_index, kept)
        return _like(object_values(refined, classes) if is_object else refined, mask_or_probs)


def read_refiner_config(source: str | Path | dict[str, Any]) -> dict[str, Any]:
    """Reads the config of a refiner; see `load_refiner`.

    A config file is read by mmengine where it is installed, else by `io.config_files`, which knows `_base_` alone.
    """
    if isinstance(source, dict):
        return dict(source)
    named = named_prior(source)
    path = Path(source).expanduser() if named is None else named
    if path.suffix == '.py':
        return _read_config_file(source)
    if not (path / SETTINGS).is_file():
        raise FileNotFoundError(
            f'refiner {str(source)!r}: expected one of {expected_names()}, a config file (.py), or the folder '
            f'of a prior with a {SETTINGS}'
        )
    prior = str(path) if named is None else str(source)
    return {'type': 'G4SegRefiner', 'prior': prior, **json.loads((path / SETTINGS).read_text(encoding='utf-8'))}


def _read_config_file(source: str | Path) -> dict[str, Any]:
    path = find_config(source)
    content: Mapping[str, Any]
    try:
        from mmengine.config import Config
    except ImportError:
        content = read_config(path)
    else:
        content = Config.fromfile(path).to_dict()
    config = content.get('refiner') or content.get('model', {}).get('refiner')
    if config is None:
        raise ValueError(f"{path}: expected a line 'refiner = dict(type=..., ...)'")
    return dict(config)


def merged(config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A config with options over it: parts in it are merged, all else is replaced.

    An option of another `type` replaces the part, whose own options the new type need not have.
    """
    result = dict(config)
    for name, value in options.items():
        part: Any = result.get(name)
        if name == 'prior' and isinstance(part, str):  # short for its source
            part = {'source': part}
        if isinstance(part, Mapping) and isinstance(value, Mapping) and value.get('type') in (None, part.get('type')):
            value = merged(part, value)
        result[name] = value
    return result


def as_image(image: Any) -> Tensor:
    """A tensor of a PIL image, an (H, W, 3) array or a (3, H, W) tensor: (3, H, W) float32 in [0, 1].

    Raises:
        TypeError: if it is something else.
        ValueError: if its shape is another.
    """
    if isinstance(image, Image.Image):
        image = rgb_pixels(image)
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f'image: expected an array (height, width, 3), got {image.shape}')
        # a copy: torch warns of arrays of PIL, which are not to be written, and has no other order of bytes
        image = torch.from_numpy(np.array(image, image.dtype.newbyteorder('='), order='C')).permute(2, 0, 1)
    if not isinstance(image, Tensor):
        raise TypeError(f'image: expected a PIL image, an array or a tensor, got {type(image).__name__}')
    if image.ndim != 3:
        raise ValueError(f'image: expected a tensor (3, height, width), got {tuple(image.shape)}')
    if image.dtype == torch.uint8:
        return image.float() / 255
    if not image.is_floating_point():
        raise TypeError(f'image: expected uint8, or float in [0, 1], got {image.dtype}')
    return image.float()


def _as_maps(maps: Any) -> Tensor:
    """(H, W) int64 or, of one object, bool; or (C, H, W) float32."""
    if isinstance(maps, Image.Image):
        if maps.mode not in ('1', 'L', 'P', *SIXTEEN_BIT):
            raise ValueError(f'mask: expected a PIL image of one channel, got mode {maps.mode}')
        maps = np.array(ImageOps.exif_transpose(maps))
    if isinstance(maps, np.ndarray):
        if maps.dtype.kind not in 'biuf':
            raise TypeError(f'mask: expected an array of numbers or bool, got {maps.dtype}')
        # torch has no unsigned 16-bit arithmetic, and 8 bits have no room for 255 + 1
        wide = {'b': bool, 'f': np.float32}.get(maps.dtype.kind, np.int64)
        maps = torch.from_numpy(np.ascontiguousarray(maps.astype(wide)))
    if not isinstance(maps, Tensor):
        raise TypeError(f'mask: expected a PIL image, an array or a tensor, got {type(maps).__name__}')
    if maps.ndim != (3 if maps.is_floating_point() else 2) or maps.is_complex():
        raise ValueError(
            f'expected integer class indices (height, width) or float probabilities (classes, height, width), got '
            f'{maps.dtype} {tuple(maps.shape)}'
        )
    # a network's own scores have its graph with them
    return maps.detach().float() if maps.is_floating_point() else maps if maps.dtype == torch.bool else maps.long()


def _is_object(maps: Tensor, classes: ClassList) -> bool:
    """Whether a mask (H, W) is of one object; as indices, bool would name the background where that is second."""
    if maps.dtype != torch.bool:
        return is_object_mask(maps.unique().tolist(), len(classes))
    if len(classes) != 2:
        raise ValueError(f'mask: expected two class names, background and object, with bool, got {len(classes)}')
    return True


def _check_size(maps: Tensor, pixels: Tensor, image: Any) -> None:
    """Raises ValueError unless (H, W) labels or (C, H, W) probabilities have the size of (3, H, W) pixels."""
    (height, width), (found_height, found_width) = pixels.shape[-2:], maps.shape[-2:]
    if len(pixels) == 3 and (height, width) != (found_height, found_width):
        what = 'probabilities' if maps.is_floating_point() else 'a mask'
        note = frame_note(image, (height, width), (found_height, found_width)) if isinstance(image, Image.Image) else ''
        raise ValueError(
            f'expected {what} of {height} x {width} (height x width) as the image has, got {found_height} x '
            f'{found_width}{note}'
        )


def _like(maps: Tensor, given: Maps) -> Maps:
    """Brings a result into the library and type of what went in."""
    if isinstance(given, Tensor):
        return maps.to(given.device, given.dtype)
    array = maps.cpu().numpy()
    if isinstance(given, np.ndarray):
        return array.astype(given.dtype)
    image = Image.fromarray(array.astype(np.array(given).dtype))
    if given.mode == 'P':
        image.putpalette(given.getpalette() or [])
    return image
