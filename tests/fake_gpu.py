"""A GPU that is not there: fake tensors have a device and a shape, no numbers, and copies of them are counted."""

import copy

import torch
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import FakeCopyMode
from torch.utils._python_dispatch import TorchDispatchMode


class Copies(TorchDispatchMode):
    """Remembers the copies from host to device, or back, that are waited for."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        moved = {t.device.type for t in (*args, result) if isinstance(t, torch.Tensor)}
        waits = not (kwargs or {}).get('non_blocking', False)
        if operator.overloadpacket.__name__ in ('_to_copy', 'copy_') and len(moved) > 1 and waits:
            self.found.append((operator, moved))
        return result


def on_a_fake_gpu(module: torch.nn.Module, fake: FakeTensorMode) -> torch.nn.Module:
    """A copy of a module on a GPU that is not there, to be used within the mode; the module itself stays as it is."""
    with FakeCopyMode(fake):
        placed = copy.deepcopy(module)
    for part in placed.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = torch.nn.Parameter(weight.detach().to('cuda'), weight.requires_grad)
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else buffer.to('cuda')
    return placed
