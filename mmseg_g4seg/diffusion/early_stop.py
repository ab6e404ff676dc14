"""Runs a network no further than it is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class _Reached(Exception):
    """The module has its output."""


@contextmanager
def output_inside(module: nn.Module) -> Iterator[list[Any]]:
    """Takes the output of a module inside a network; what follows it is not computed.

        with output_inside(block) as outputs:
            network(images)
        features = outputs[0]

    Args:
        module: inside the network that the block runs.
    """
    outputs: list[Any] = []

    def stop(_module: nn.Module, _args: Any, output: Any) -> None:
        outputs.append(output)
        # an exception is the one way out of a pass from inside; what follows the module is what it saves
        raise _Reached

    hook = module.register_forward_hook(stop)
    try:
        yield outputs
    except _Reached:
        pass
    finally:
        hook.remove()
