"""Runs a network no further than it is needed."""

from collections.abc import Callable
from typing import Any

from torch import nn


class _Reached(Exception):
    """The module has its output."""


def output_inside(module: nn.Module, run: Callable[[], object]) -> Any:
    """The output of a module inside a network; what follows it is not computed.

    Args:
        module: inside the network.
        run: runs the network.
    """
    outputs: list[Any] = []

    def stop(_module: nn.Module, _args: Any, output: Any) -> None:
        outputs.append(output)
        # an exception is the one way out of a pass from inside; what follows the module is what it saves
        raise _Reached

    hook = module.register_forward_hook(stop)
    try:
        run()
    except _Reached:
        pass
    finally:
        hook.remove()
    return outputs[0]
