"""Lets torch 2.6 and newer load the checkpoints that mmengine saves while it trains.

They hold the curves of the training beside the weights. torch loads nothing but tensors and plain values unless it is
told of a class, and mmengine 0.10.7 does not tell it: `Weights only load failed ... HistoryBuffer`.
"""

import pickle
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch.torch_version import TorchVersion


def allow_training_state() -> None:
    """Tells torch of what mmengine saves: curves, and the NumPy arrays in them; nothing that runs code of a file."""
    if TorchVersion(torch.__version__) < '2.6':
        return
    # what an array and a number are read by; files keep the name that the NumPy which wrote them had for it
    readers: list[Any] = [np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]]
    names = [(reader, f'numpy.{core}.multiarray.{reader.__name__}') for reader in readers for core in ('core', '_core')]
    dtypes = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)]
    torch.serialization.add_safe_globals(
        [HistoryBuffer, np.ndarray, np.dtype, *dtypes, *names, (_statistic, 'builtins.getattr')]
    )


def _statistic(owner: Any, name: str) -> Any:
    """What a curve asks `getattr` for: a method of its class. Anything else could be a way to run code."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'expected a statistic of HistoryBuffer, got {name!r} of {owner!r}')
    return getattr(owner, name)
