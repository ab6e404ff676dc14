"""Checks that a checkpoint fits its model before evaluation starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

UNUSED = ('auxiliary_head.',)
"""Weights that no evaluation reads."""
PARAMETERS = ('.weight', '.bias')


def check_checkpoint(model: nn.Module, path: str | None) -> None:
    """Checks that a checkpoint holds the weights that evaluation needs, and no others.

    mmengine loads what fits, leaves the rest random, and says so in the log alone.

    Args:
        model: as it will be evaluated.
        path: of the checkpoint, a file or an address; None is for models without weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if none is given and the model has weights, the file is no checkpoint, or weights
            are missing, of another shape, or of layers that the model has not.
    """
    # a replica may stand around test-time augmentation, and that around a refined model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        inner = model.module
        assert isinstance(inner, nn.Module)
        model = inner
    expected = {name: value for name, value in model.state_dict().items() if _needed(name)}
    if path is None:
        if expected:
            name = type(getattr(model, 'segmentor', model)).__name__
            raise ValueError(
                f'expected a checkpoint, got none: {name} would be evaluated with random weights; '
                'g4seg test CONFIG CHECKPOINT'
            )
        return
    found = _read(path)
    if faults := _faults(expected, found):
        raise ValueError(
            f'{path}: not a checkpoint of this model, which has {len(expected)} weights: {"; ".join(faults)}. Give the '
            'config that the checkpoint was trained with'
        )


def _faults(expected: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
    """What does not fit, in words: each kind of fault with its first weight."""
    missing = [name for name in expected if name not in found]
    other = [name for name, value in expected.items() if name in found and found[name].shape != value.shape]
    # parameters alone: what training keeps in buffers (a sampler, a queue) may be there
    unknown = [name for name in found if name not in expected and _needed(name) and name.endswith(PARAMETERS)]
    faults = [
        _first('are missing', missing),
        _first('have another shape', other, lambda name: _shapes(expected[name], found[name])),
        _first('belong to layers that the model has not', unknown),
    ]
    return [fault for fault in faults if fault]


def _needed(name: str) -> bool:
    # old checkpoints lack the counters of batch norm, which training alone uses
    return not name.startswith(UNUSED) and not name.endswith('num_batches_tracked')


def _read(path: str) -> dict[str, Tensor]:
    """Weights under the names that the plain model gives them."""
    if '://' in path:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    else:
        checkpoint = _read_file(path)
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else {}
    weights = {str(name).removeprefix('module.'): v for name, v in state.items() if isinstance(v, Tensor)}
    if not weights:
        raise ValueError(f'{path}: expected a checkpoint with weights (state_dict), found {_content(checkpoint)}')
    return weights


def _read_file(path: str) -> Any:
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint; expected a file that mmseg or mmengine saved')
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except Exception as error:  # which one depends on the bytes
        raise ValueError(
            f'{path}: expected a checkpoint that mmseg or mmengine saved, found {file.stat().st_size} bytes that are '
            f'none ({type(error).__name__}: {error}): is the download whole?'
        ) from error


def _content(checkpoint: Any) -> str:
    """What is in a file without weights."""
    if isinstance(checkpoint, dict):
        return f'a dict with {sorted(map(str, checkpoint))[:5]}'
    return f'an object of type {type(checkpoint).__name__}'


def _first(fault: str, names: list[str], detail: Callable[[str], str] = lambda _: '') -> str:
    """A fault in words, with the first weight that has it; empty where none has."""
    return f'{len(names)} {fault} (first: {names[0]}{detail(names[0])})' if names else ''


def _shapes(expected: Tensor, found: Tensor) -> str:
    return f', expected {tuple(expected.shape)}, found {tuple(found.shape)}'
