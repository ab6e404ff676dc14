"""How many passes go through a model at once: as many as memory holds."""

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import torch

Item = TypeVar('Item')
Result = TypeVar('Result')

CPU_BATCH = 8
"""Items in a batch on a CPU, where more are no faster."""

FREE_SHARE = 0.9
"""Share of a GPU's free memory that is counted on."""

OTHER_MESSAGES = ("can't allocate memory", 'not enough memory', 'CUDA error: out of memory', 'STATUS_ALLOC_FAILED')
"""What the allocator of the CPU says, the driver, and its libraries; they have no exception of their own."""


class MemoryBudget:
    """Cuts work into batches. On a GPU the first item goes alone and is measured; the others follow as many as fit.

    Where memory runs out nevertheless, the batch is halved, with one warning, and the work goes on.

    Attributes:
        size: items in the next batch, at most; None while nothing but memory says so.
    """

    def __init__(self, most: int | None = None, *, gibibytes: float | None = None) -> None:
        """Args:
        most: items in a batch, whatever the memory; when not given, what a GPU holds, and 8 on a CPU.
        gibibytes: what a batch may take on a GPU; nine tenths of what is free when not given.
        """
        if most is not None and not (isinstance(most, int) and most >= 1):
            raise ValueError(f'passes_per_batch: expected an integer of at least 1, or None, got {most!r}')
        if gibibytes is not None and not (isinstance(gibibytes, int | float) and gibibytes > 0):
            raise ValueError(f'memory_budget: expected GiB above 0, or None, got {gibibytes!r}')
        self.gibibytes = gibibytes
        self.size = most
        self._bytes_per_item = 0.0
        self._warned = False

    def attempts(self, items: Sequence[Item], device: torch.device) -> Iterator['Attempt[Item]']:
        """Cuts items into batches, in their order; what did not fit comes again, in parts.

            for attempt in budget.attempts(items, device):
                with attempt as batch:
                    results += work(batch)

        Leave the work to one call, as above: names that are bound in the block itself would hold the tensors of a
        batch that did not fit while a smaller one is tried.

        Args:
            items: any number.
            device: where the work is done.

        Raises:
            MemoryError: if one item alone does not fit.
        """
        done = 0
        while done < len(items):
            measured = device.type == 'cuda' and self.size != 1 and not self._bytes_per_item
            attempt = Attempt(items[done : done + self._fitting(device)], device if measured else None)
            yield attempt
            if attempt.ran_out:
                self._shrink(len(attempt.batch), device)
            else:
                done += len(attempt.batch)
                self._bytes_per_item = self._bytes_per_item or attempt.bytes_per_item

    def run(
        self, function: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item], device: torch.device
    ) -> list[Result]:
        """Applies a function to batches of items, in their order, and gives one result for each item."""
        results: list[Result] = []
        for attempt in self.attempts(items, device):
            with attempt as batch:
                results += function(batch)
        return results

    def _fitting(self, device: torch.device) -> int:
        """Items in the next batch."""
        if device.type != 'cuda':
            return self.size or CPU_BATCH
        # what a pass takes depends on prior, image size and number of regions: one is measured rather than all guessed
        if self.size == 1 or not self._bytes_per_item:
            return 1
        budget = free_bytes(device) * FREE_SHARE if self.gibibytes is None else self.gibibytes * 2**30
        fitting = max(1, int(budget / self._bytes_per_item))
        return fitting if self.size is None else min(self.size, fitting)

    def _shrink(self, tried: int, device: torch.device) -> None:
        if tried == 1:
            raise MemoryError(
                f'one pass alone does not fit into the memory of {device}: expected a smaller image_size, '
                "dtype='bfloat16', or a smaller prior"
            )
        self.size = tried // 2
        if not self._warned:
            warnings.warn(
                f'{tried} passes at once do not fit into the memory of {device}: going on with {self.size}; '
                f'passes_per_batch={self.size} avoids the attempt',
                stacklevel=3,
            )
            self._warned = True
        # tensors of the failed batch may stand in cycles, of which the allocator knows nothing
        gc.collect()
        if device.type == 'cuda':
            torch.cuda.empty_cache()


class Attempt(AbstractContextManager[Sequence[Item]]):
    """One batch; the block that works on it may run out of memory.

    Attributes:
        batch: some items.
        ran_out: whether they did not fit.
        bytes_per_item: what the block took on a GPU for each of them; 0 where it was not measured.
    """

    def __init__(self, batch: Sequence[Item], measured: torch.device | None) -> None:
        """Args:
        batch: some items.
        measured: the GPU whose memory is watched.
        """
        self.batch, self.ran_out, self.bytes_per_item = batch, False, 0.0
        self._measured, self._before = measured, 0

    def __enter__(self) -> Sequence[Item]:
        if self._measured is not None:
            self._before = begin_measuring(self._measured)
        return self.batch

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        self.ran_out = error is not None and ran_out(error)
        if error is None and self._measured is not None:
            # a pass may leave the peak where it was: 0 would be read as not measured
            self.bytes_per_item = max(1.0, (peak_bytes(self._measured) - self._before) / len(self.batch))
        return self.ran_out


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(message in str(error) for message in OTHER_MESSAGES)


def free_bytes(device: torch.device) -> int:
    """What a GPU has left for this process: the driver's, and what PyTorch holds without using it."""
    # mem_get_info counts blocks that PyTorch keeps for itself as taken: most of the card, after the first batch
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + cached


def begin_measuring(device: torch.device) -> int:
    """Bytes in use on a GPU, from which the peak is counted anew."""
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_bytes(device: torch.device) -> int:
    """Most bytes in use on a GPU since `begin_measuring`."""
    return torch.cuda.max_memory_allocated(device)
