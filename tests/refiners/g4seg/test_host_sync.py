"""Between the first pass and the last nothing waits for the device: no value is read back to the host.

Counted on the CPU: what would read a value from a GPU dispatches, or calls, one of these there, too.
"""

from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_g4seg.diffusion.finite import FiniteWatch
from mmseg_g4seg.refiners.g4seg.passes import Passes
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.refiners.g4seg.making import make

READING_OPERATORS = {'_local_scalar_dense', 'nonzero', 'masked_select', '_unique2', 'unique_dim', 'equal', 'item'}
READING_METHODS = ('tolist', 'cpu', 'numpy')


class ReadBacks(TorchDispatchMode):
    """Remembers the operators that read values back."""

    def __init__(self):
        super().__init__()
        self.found, self.active = [], False

    def __enter__(self):
        self.active = True
        return super().__enter__()

    def __exit__(self, *error):
        self.active = False
        return super().__exit__(*error)

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        name = operator.overloadpacket.__name__
        if name in READING_OPERATORS:
            self.found.append(name)
        return operator(*args, **(kwargs or {}))


@pytest.fixture
def read_backs(monkeypatch):
    mode = ReadBacks()
    for name in READING_METHODS:
        own = getattr(torch.Tensor, name)

        def recorded(self, *args, name=name, own=own, **kwargs):
            if mode.active:
                mode.found.append(name)
            return own(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, recorded)
    return mode


def test_what_is_counted(read_backs):
    with read_backs:
        tensor = torch.ones(2)
        for read in (torch.Tensor.tolist, torch.Tensor.numpy, lambda t: t[0].item(), lambda t: bool(t.any()), list):
            read_backs.found.clear()
            read(tensor)
            assert bool(read_backs.found) == (read is not list)


@pytest.mark.parametrize(
    'update',
    [
        CorrespondenceUpdate(),
        CorrespondenceUpdate(joint=True, temperature=0.1, upsampling='guided'),
        LikelihoodUpdate(timesteps=(100, 300), draws=2),
    ],
    ids=['default', 'joint, soft, guided', 'likelihood'],
)
def test_the_passes_read_nothing_back(prior, read_backs, monkeypatch, update):
    """Of either update, once prompts are encoded: what is read back before and after does not depend on them."""
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    refiner = make(prior, update=update, passes_per_batch=2)
    refiner.refine(image, coarse, NAMES)
    own, batches = Passes.attempts, []

    @contextmanager
    def watched(attempt):
        batches.append(len(attempt.batch))
        with attempt as batch, read_backs:
            yield batch

    monkeypatch.setattr(Passes, 'attempts', lambda self, layouts: map(watched, own(self, layouts)))
    refiner.refine(image, coarse, NAMES)
    assert batches
    assert read_backs.found == []


def test_whether_all_was_finite_is_read_once(prior, monkeypatch):
    reads = []
    refiner = make(prior, update=LikelihoodUpdate(timesteps=(100, 200, 300)), passes_per_batch=2)
    monkeypatch.setattr(FiniteWatch, 'check', lambda watch: reads.append(len(watch._finite)))
    refiner.refine(*random_case(IMAGE_SIZE, IMAGE_SIZE), NAMES)
    assert len(reads) == 1
    assert 1 <= reads[0] <= 4, 'one flag a part, however many passes'
