"""Numbers that the methods' own public code gave, in a folder beside the clone; without it their tests skip."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import ROOT

FOLDER = ROOT.parent / 'shared' / 'oracles'


def load_oracle(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The arrays of a file, floats as float32, and its settings."""
    file = FOLDER / f'{name}.npz'
    if not file.is_file():
        pytest.skip(f'no oracle {name}')
    with np.load(file) as stored:
        # GroupViT's has the model's config, clip_tiny neither
        texts = [key for key in ('meta', 'config') if key in stored.files]
        meta = json.loads(str(stored[texts[0]])) if texts else {}
        arrays = {key: torch.from_numpy(np.array(stored[key])) for key in stored.files if key not in texts}
    return {key: a.float() if a.is_floating_point() else a for key, a in arrays.items()}, meta
