"""Loads weights that others trained, from files in their formats."""

from pathlib import Path

import torch
from torch import nn


def load_checkpoint(network: nn.Module, path: str | Path, *, prefix: str, what: str) -> None:
    """Loads a state dict, or a checkpoint that holds one, in place; runs nothing that a pickle may hold.

    Args:
        network: takes exactly these weights, in its own precision; may be on the meta device, without any of its own.
        path: of the file.
        prefix: of the weights' names; where some have it, those without are left out.
        what: the network is called in errors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold this network's weights.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f'{what}: no weights at {file}')
    try:
        content = torch.load(file, map_location='cpu', weights_only=True)
        state = content.get('state_dict', content)
        prefixed = {name.removeprefix(prefix): w for name, w in state.items() if name.startswith(prefix)}
        own = network.state_dict()
        fitting = {name: w.to(own[name].dtype) if name in own else w for name, w in (prefixed or state).items()}
        # a network on the meta device has nothing to copy into
        network.load_state_dict(fitting, assign=True)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f'{file}: expected the weights of {what}: {reason}') from error
