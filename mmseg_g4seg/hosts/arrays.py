"""Two lines from an image and its mask to a better mask, whatever library they come from.

Shapes: C classes, H W image size.

    refiner = load_refiner('tiny')
    refined = refiner(image, mask_or_probs, class_names)
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmseg_g4seg.diffusion.weights.loading import EMBEDDED_PRIORS
from mmseg_g4seg.io.images import EIGHT_BIT
from mmseg_g4seg.ops.masks import BORDER_WIDTH, soften_labels
from mmseg_g4seg.prediction import ClassName, Prediction
from mmseg_g4seg.refiners.base import Refiner, check_inputs
from mmseg_g4seg.refiners.build import build_refiner

SETTINGS = 'refiner.json'
"""File in a prior's folder with the settings that suit it."""
IGNORE_INDEX = 255

Maps = TypeVar('Maps', np.ndarray, Tensor, Image.Image)


def load_refiner(source: str | Path | dict[str, Any], *, device: str = 'cpu', **options: Any) -> 'ImageRefiner':
    """Loads a refiner.

    Args:
        source: `tiny`; the folder of a prior with a `refiner.json`, as `python -m projects.train_prior` writes
            it; a config file with a line `refiner = dict(type=...)`; or such a dict.
        device: to run on.
        options: over the source's, such as `background_index=0`.

    Returns:
        An `ImageRefiner`, to be called with image, mask (or probabilities) and class names.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the source holds no refiner, or an option is not known.
    """
    config = read_refiner_config(source)
    for name, value in options.items():
        config = with_option(config, name, value)
    refiner = build_refiner(config)
    assert isinstance(refiner, Refiner)
    return ImageRefiner(refiner.to(device))


class ImageRefiner:
    """Refines masks of NumPy, PIL and torch; what comes out is of the kind that went in."""

    def __init__(self, refiner: Refiner, *, soften: float = BORDER_WIDTH) -> None:
        """Args:
        refiner: what does the work.
        soften: how unsure a mask without probabilities is near its borders, as the deviation of
            a Gaussian, as a share of the image's longer side.
        """
        self.refiner, self.soften = refiner, soften

    def __call__(
        self,
        image: 'np.ndarray | Tensor | Image.Image',
        mask_or_probs: Maps,
        class_names: Sequence[ClassName],
        *,
        key: int | str = 0,
    ) -> Maps:
        """Refines one image.

        Args:
            image: PIL; array (H, W, 3) uint8 RGB in [0, 255] or float in [0, 1]; or tensor
                (3, H, W), likewise.
            mask_or_probs: class indices (H, W), integer, 255 unlabelled, or PIL's `L` or `P`; or
                probabilities (C, H, W), float, that sum to 1; or a bool mask of one object, with two
                class names, the object's second.
            class_names: C names.
            key: of the image: with the seed it fixes the noise.

        Returns:
            The refined mask, or probabilities, in the library, type and device (a PIL image: mode and
            palette) of what went in.

        Raises:
            TypeError: if image, mask or names are of another kind.
            ValueError: if shapes, ranges or names do not fit.
        """
        if isinstance(class_names, str):
            raise TypeError(f'class_names: expected a list of names, got the text {class_names!r}')
        pixels = _as_image(image)
        maps = _as_maps(mask_or_probs)
        if maps.is_floating_point():
            coarse = Prediction(maps, maps.argmax(dim=0))
            check_inputs([pixels], [coarse], len(class_names))
            _check_sums(maps)
            refined = self.refiner.refine(pixels, coarse, class_names, key=key)
            return _like(refined.probs, mask_or_probs)
        labels = _checked_labels(maps, len(class_names))
        probs = soften_labels(labels, len(class_names), self.soften * max(labels.shape))
        refined = self.refiner.refine(pixels, Prediction(probs, labels), class_names, key=key)
        return _like(refined.label_map, mask_or_probs)


def read_refiner_config(source: str | Path | dict[str, Any]) -> dict[str, Any]:
    """Reads the config of a refiner; see `load_refiner`.

    Raises:
        ImportError: if the source is a config file and mmengine is missing.
    """
    if isinstance(source, dict):
        return dict(source)
    path = Path(EMBEDDED_PRIORS.get(str(source), source)).expanduser()
    if path.suffix == '.py':
        return _read_config_file(path)
    if not (path / SETTINGS).is_file():
        raise FileNotFoundError(
            f'refiner {str(source)!r}: expected one of {sorted(EMBEDDED_PRIORS)}, a config file (.py), or the folder '
            f'of a prior with a {SETTINGS}'
        )
    prior = str(source) if source in EMBEDDED_PRIORS else str(path)
    return {'type': 'G4SegRefiner', 'prior': prior, **json.loads((path / SETTINGS).read_text())}


def _read_config_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f'refiner: no such config file: {path}')
    try:
        from mmengine.config import Config
    except ImportError as error:
        raise ImportError('config files need mmengine: pip install "mmseg_g4seg[mmseg]"') from error
    content = Config.fromfile(path)
    config = content.get('refiner') or content.get('model', {}).get('refiner')
    if config is None:
        raise ValueError(f"{path}: expected a line 'refiner = dict(type=..., ...)'")
    return config.to_dict()


def with_option(config: dict[str, Any], name: str, value: Any, *, keep: bool = False) -> dict[str, Any]:
    """The config with an option set, in every refiner of a chain; with `keep`, only where it is not set yet."""
    if 'refiners' in config:
        return {**config, 'refiners': [with_option(dict(c), name, value, keep=keep) for c in config['refiners']]}
    return {name: value, **config} if keep else {**config, name: value}


def _as_image(image: Any) -> Tensor:
    """(3, H, W) float32 in [0, 1]."""
    if isinstance(image, Image.Image):
        if image.mode not in EIGHT_BIT:
            raise ValueError(f'image: expected a PIL image of 8 bits a channel, got mode {image.mode}')
        image = np.array(image.convert('RGB'))
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f'image: expected an array (height, width, 3), got {image.shape}')
        image = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    if not isinstance(image, Tensor):
        raise TypeError(f'image: expected a PIL image, an array or a tensor, got {type(image).__name__}')
    if image.dtype == torch.uint8:
        return image.float() / 255
    if not image.is_floating_point():
        raise TypeError(f'image: expected uint8, or float in [0, 1], got {image.dtype}')
    return image.float()


def _as_maps(maps: Any) -> Tensor:
    """(H, W) int64, or (C, H, W) float32."""
    if isinstance(maps, Image.Image):
        if maps.mode not in ('1', 'L', 'P', 'I', 'I;16'):
            raise ValueError(f'mask: expected a PIL image of one channel, got mode {maps.mode}')
        maps = np.array(maps)
    if isinstance(maps, np.ndarray):
        wide = maps.astype(np.int64 if maps.dtype.kind in 'biu' else np.float32)
        maps = torch.from_numpy(np.ascontiguousarray(wide))
    if not isinstance(maps, Tensor):
        raise TypeError(f'mask: expected a PIL image, an array or a tensor, got {type(maps).__name__}')
    if maps.ndim != (3 if maps.is_floating_point() else 2):
        raise ValueError(
            f'expected integer class indices (height, width) or float probabilities (classes, height, width), got '
            f'{maps.dtype} {tuple(maps.shape)}'
        )
    return maps.float() if maps.is_floating_point() else maps.long()


def _checked_labels(labels: Tensor, num_classes: int) -> Tensor:
    unknown = labels[(labels < 0) | ((labels >= num_classes) & (labels != IGNORE_INDEX))].unique().tolist()
    if unknown:
        raise ValueError(f'mask: expected indices below {num_classes} (one a class name) or 255, got {unknown}')
    return labels


def _check_sums(probs: Tensor) -> None:
    total = probs.sum(dim=0)
    if total.numel() and float((total - 1).abs().max()) > 0.05:
        raise ValueError(
            f'expected probabilities that sum to 1 over classes, got sums from {float(total.min()):.4g} to '
            f'{float(total.max()):.4g}'
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
