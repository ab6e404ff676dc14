import warnings
from weakref import ref

import pytest
import torch

from mmseg_g4seg.diffusion import batching
from mmseg_g4seg.diffusion.batching import MemoryBudget

CPU, GPU = torch.device('cpu'), torch.device('cuda:0')


class Worker:
    """Doubles items, of which a limited number fits; remembers the batches that it was given."""

    def __init__(self, limit=99, error=None):
        self.limit, self.batches = limit, []
        self.error = error or torch.cuda.OutOfMemoryError('out of memory')

    def __call__(self, batch):
        self.batches.append(len(batch))
        if len(batch) > self.limit:
            raise self.error
        return [2 * item for item in batch]


@pytest.mark.parametrize(('count', 'expected'), [(0, []), (3, [3]), (8, [4, 4]), (9, [4, 4, 1])])
def test_batches_in_order(count, expected):
    worker = Worker()
    assert MemoryBudget(4).run(worker, list(range(count)), CPU) == [2 * i for i in range(count)]
    assert worker.batches == expected


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory'),
        RuntimeError('CUDA error: out of memory'),
        RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate'),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    ],
)
def test_halves_until_it_fits_with_one_warning(error):
    worker, budget = Worker(limit=2, error=error), MemoryBudget(8)
    with pytest.warns(UserWarning, match=r'8 passes at once do not fit .* passes_per_batch=4') as caught:
        assert budget.run(worker, list(range(10)), CPU) == [2 * i for i in range(10)]
    assert worker.batches == [8, 4, 2, 2, 2, 2, 2]
    assert sum('do not fit' in str(one.message) for one in caught) == 1, 'said once'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        budget.run(worker, [1, 2, 3], CPU)
    assert worker.batches[7:] == [2, 1], 'remembered'


def test_one_item_that_does_not_fit():
    with pytest.raises(MemoryError, match=r'one pass alone .* cpu: expected a smaller image_size'):
        MemoryBudget(1).run(Worker(limit=0), [1], CPU)


def test_what_did_not_fit_is_let_go_before_less_is_tried():
    """Its tensors stand in the frames of the error; with them the smaller batch would not fit, either."""
    held = []

    def work(batch):
        tensor = torch.zeros(len(batch))
        held.append(ref(tensor))
        if len(batch) > 1:
            raise torch.cuda.OutOfMemoryError('out of memory')
        return list(batch)

    def work_all():
        for attempt in MemoryBudget(4).attempts([1, 2, 3, 4], CPU):
            with attempt as batch:
                assert [tensor() for tensor in held] == [None] * len(held)
                results.extend(work(batch))

    results = []
    with pytest.warns(UserWarning, match='4 passes at once'):
        work_all()
    assert results == [1, 2, 3, 4]
    assert len(held) == 6


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match='shapes'):
        MemoryBudget(4).run(Worker(limit=1, error=RuntimeError('shapes do not fit')), [1, 2], CPU)


class TestMeasuring:
    """A GPU's figures, made up: each item takes 2 GiB beside 10 that are in use."""

    @pytest.fixture(autouse=True)
    def gpu(self, monkeypatch):
        self.worker = Worker()
        monkeypatch.setattr(batching, 'begin_measuring', lambda _: 10 * 2**30)
        monkeypatch.setattr(batching, 'peak_bytes', lambda _: (10 + 2 * self.worker.batches[-1]) * 2**30)
        monkeypatch.setattr(batching, 'free_bytes', lambda _: 15 * 2**30)

    @pytest.mark.parametrize(('gibibytes', 'then'), [(None, 6), (9.0, 4), (0.5, 1), (1000.0, 8)])
    def test_the_first_alone_then_as_many_as_fit(self, gibibytes, then):
        budget = MemoryBudget(8, gibibytes=gibibytes)
        assert budget.run(self.worker, list(range(9)), GPU) == [2 * i for i in range(9)]
        assert self.worker.batches[:2] == [1, then]

    def test_no_limit_but_memory(self):
        MemoryBudget(gibibytes=40.0).run(self.worker, list(range(30)), GPU)
        assert self.worker.batches == [1, 20, 9]

    def test_measured_once(self):
        budget = MemoryBudget(8)
        budget.run(self.worker, [1], GPU)
        budget.run(self.worker, [1, 2, 3], GPU)
        assert self.worker.batches == [1, 3]
