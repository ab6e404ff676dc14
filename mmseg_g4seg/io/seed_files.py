"""Seeds of weakly supervised methods: foreground scores of the tagged classes, no background.

Shapes: C classes with background, K classes of an image, H W image size.

Files number classes from 0 without the background; here class 0 is the background, so that key k is
class k + 1.
"""

import io
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.prediction import ClassList, Prediction

from .background_rule import BackgroundRule
from .mask_files import FileMask, MaskFormat, stored_classes
from .safe_arrays import read_arrays
from .storage import AnyPath, readable

TINY = 1e-6


class SeedFile(MaskFormat):
    """Scores become probabilities by the background rule, and come out so that the rule gives them again."""

    suffix = '.npy'

    def __init__(self, classes: ClassList, rule: BackgroundRule | None = None) -> None:
        super().__init__(classes)
        if classes.background != 0:
            raise ValueError('seeds leave the background out: expected class 0 to be the background')
        self.rule = rule or BackgroundRule()

    def read(self, path: AnyPath) -> FileMask:
        keys, maps = self.unpack(self.load(path))
        if not keys and np.ndim(maps) == 3 and len(maps) == 0:  # an image without a tagged class
            return FileMask(probs=self._background_alone(np.shape(maps)[1:]), classes=[0])
        indices = _as_indices(keys, len(self.classes) - 1)
        scores = _as_scores(maps, len(indices))
        stacked = torch.cat([self.rule.background(scores.amax(dim=0, keepdim=True)), scores])
        return _ascending([0, *(key + 1 for key in indices)], stacked / stacked.sum(dim=0).clamp_min(TINY))

    def _background_alone(self, size: Sequence[int]) -> Tensor:
        """(1, H, W) probability of an image (H, W) in which nothing was to be found."""
        if 0 in size:
            raise ValueError(f'expected maps (keys, height, width), got none of {tuple(size)}')
        return torch.ones(1, *size)

    def encode(self, prediction: Prediction, kept: Sequence[int] | None = None) -> bytes:
        probs, numbers = prediction.probs.cpu(), list(range(len(self.classes)) if kept is None else kept)
        if len(probs) == 1:  # background and nothing else
            return self.pack([0], torch.zeros_like(probs))
        # a file without a class would be none: where all is background, the best of the others stands in
        indices = [i for i in stored_classes(prediction) if i] or [int(probs[1:].flatten(1).amax(dim=1).argmax()) + 1]
        foreground = probs[indices].double()
        best = foreground.amax(dim=0)
        scaled = self.rule.foreground(best / probs[0].double().clamp_min(TINY))
        seeds = foreground.div_(best.clamp_min(TINY)).mul_(scaled).float()
        return self.pack([numbers[i] - 1 for i in indices], seeds)

    def load(self, path: AnyPath) -> dict:
        """The dictionary in a file."""
        content = read_arrays(path)
        if not isinstance(content, dict):
            raise ValueError(f'expected a dictionary of arrays, got {type(content).__name__}')
        return content

    @abstractmethod
    def unpack(self, content: dict) -> tuple[Sequence[Any], Sequence[Any]]:
        """Keys and maps of a dictionary as read."""

    @abstractmethod
    def pack(self, keys: Sequence[int], scores: Tensor) -> bytes:
        """The file for K keys and (K, H, W) scores."""


class IRNSeed(SeedFile):
    """IRN: `keys`, `cam` at stride 4, `high_res` at the image's size."""

    map_name = 'high_res'

    def unpack(self, content: dict) -> tuple[Sequence[Any], Sequence[Any]]:
        missing = sorted({'keys', self.map_name} - set(content))
        if missing:
            raise ValueError(f"expected the entries 'keys' and {self.map_name!r}, {missing} missing")
        maps = content[self.map_name]
        if np.ndim(maps) != 3:
            raise ValueError(f'{self.map_name}: expected maps (keys, height, width), got {np.shape(maps)}')
        return np.asarray(content['keys']).reshape(-1).tolist(), maps

    def pack(self, keys: Sequence[int], scores: Tensor) -> bytes:
        grid = tuple(-(-side // 4) for side in scores.shape[1:])
        strided = torch.nn.functional.interpolate(scores[None], grid, mode='bilinear', align_corners=False)[0]
        return _npy(dict(keys=np.array(keys, np.int64), cam=strided.numpy(), high_res=scores.numpy()))


class CLIPESSeed(IRNSeed):
    """CLIP-ES: `keys`, `attn_highres` in float16."""

    map_name = 'attn_highres'

    def pack(self, keys: Sequence[int], scores: Tensor) -> bytes:
        return _npy(dict(keys=np.array(keys, np.int64), attn_highres=scores.numpy().astype(np.float16)))


class SEAMSeed(SeedFile):
    """SEAM: a map for each key."""

    def unpack(self, content: dict) -> tuple[Sequence[Any], Sequence[Any]]:
        return list(content), list(content.values())

    def pack(self, keys: Sequence[int], scores: Tensor) -> bytes:
        return _npy({key: score.numpy() for key, score in zip(keys, scores, strict=True)})


class SEAMCRFSeed(SEAMSeed):
    """SEAM's seeds after a CRF: class indices with the background at 0, probabilities as they are."""

    def read(self, path: AnyPath) -> FileMask:
        content = self.load(path)
        indices = _as_indices(list(content), len(self.classes))
        scores = _as_scores(list(content.values()), len(indices))
        if float(scores.sum(dim=0).min()) <= 0:
            raise ValueError('expected a positive score in every pixel')
        return _ascending(indices, scores / scores.sum(dim=0))

    def encode(self, prediction: Prediction, kept: Sequence[int] | None = None) -> bytes:
        probs, numbers = prediction.probs.float().cpu(), list(range(len(self.classes)) if kept is None else kept)
        return _npy({numbers[i]: probs[i].numpy() for i in sorted({0, *stored_classes(prediction)})})


class DiffSegmenterSeed(SEAMSeed):
    """DiffSegmenter: a MATLAB file with a map from 0 to 255 for each key."""

    suffix = '.mat'

    def load(self, path: AnyPath) -> dict:
        loadmat = _scipy_io().loadmat
        try:
            content = loadmat(readable(path))
        except (OSError, ValueError):
            raise
        except Exception as error:
            raise ValueError(f'no MATLAB file, or damaged: {type(error).__name__}: {error}') from error
        return {key: values for key, values in content.items() if not key.startswith('__')}

    def unpack(self, content: dict) -> tuple[Sequence[Any], Sequence[Any]]:
        return list(content), [_as_map(values) / 255 for values in content.values()]

    def pack(self, keys: Sequence[int], scores: Tensor) -> bytes:
        buffer = io.BytesIO()
        maps = {str(key): score.numpy() * 255 for key, score in zip(keys, scores, strict=True)}
        _scipy_io().savemat(buffer, maps, do_compression=True)
        # the format opens with 116 bytes of text, where SciPy puts machine and time
        return b'MATLAB 5.0 MAT-file, mmseg_g4seg'.ljust(116) + buffer.getvalue()[116:]


def _scipy_io() -> Any:
    try:
        from scipy import io as scipy_io
    except ImportError as error:
        raise ImportError('.mat files need SciPy: pip install "mmseg_g4seg[mat]"') from error
    return scipy_io


def _ascending(classes: Sequence[int], probs: Tensor) -> FileMask:
    """A mask of K classes in any order, with their (K, H, W) probabilities."""
    order = sorted(range(len(classes)), key=lambda row: classes[row])
    if order != list(range(len(classes))):
        probs = probs[order]
    return FileMask(probs=probs, classes=[classes[row] for row in order])


def _npy(content: dict) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(content, dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _as_indices(keys: Sequence[Any], count: int) -> list[int]:
    """Keys, numbers or their digits, as different integers below `count`."""
    try:
        numbers = [float(key) for key in keys]
    except (TypeError, ValueError) as error:
        raise ValueError(f'expected class numbers as keys, got {keys}') from error
    if not numbers:
        raise ValueError('expected at least one key, got none; without a map the size of the mask is not known')
    if len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(count)):
        raise ValueError(f'expected different keys from 0 to {count - 1}, got {numbers}')
    return [int(number) for number in numbers]


def _as_scores(maps: Sequence[Any], count: int) -> Tensor:
    """`count` maps (height, width) of scores -> (count, height, width) float32 in [0, 1]."""
    tensors = [_as_map(values) for values in maps]
    sizes = sorted({tuple(values.shape) for values in tensors})
    if len(tensors) != count or len(sizes) != 1:
        raise ValueError(f'expected {count} maps of one size, one a key, got {len(tensors)} of {sizes}')
    return _checked(torch.stack(tensors))


def _as_map(values: Any) -> Tensor:
    array = values.detach().float().numpy() if isinstance(values, Tensor) else values
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in 'fiu' or 0 in array.shape:
        raise ValueError(
            f'expected maps (height, width) of numbers, got '
            f'{getattr(array, "dtype", type(array).__name__)} {getattr(array, "shape", "")}'
        )
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def _checked(scores: Tensor) -> Tensor:
    if not torch.isfinite(scores).all():
        raise ValueError(f'expected finite scores, got {int((~torch.isfinite(scores)).sum())} that are NaN or infinite')
    if float(scores.min()) < -1e-3 or float(scores.max()) > 1 + 1e-3:
        raise ValueError(f'expected scores in [0, 1], got {float(scores.min()):.4g} to {float(scores.max()):.4g}')
    return scores.clamp(0, 1)
