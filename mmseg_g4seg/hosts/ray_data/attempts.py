"""Images that end their process: a fault in compiled code, or more memory than there is.

Ray starts the process again and repeats the batch, without end. Who was at work is noted where it outlives the process.
A batch that was begun before is gone through image by image, so that the others of it are not blamed; an image that
was begun alone three times is given up.

An actor that was never restarted has no earlier attempts to ask about: it sends its notes and goes on. A note that the
death itself cuts off costs one attempt more, since the restarted actor waits for the answer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import ray
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

MOST = 3
"""How often an image may end the process that has nothing else to do."""


class Ledger:
    """What was begun and has not ended, in a process of its own."""

    def __init__(self) -> None:
        self.begun: dict[str, list[str]] = {}

    def begin(self, what: str, node: str) -> int:
        """Notes an attempt; returns how many earlier ones ended their process.

        Args:
            what: is begun.
            node: where, a Ray node's id.
        """
        earlier = self.begun.get(what, [])
        if earlier:
            # a machine that was taken away is no image's fault
            alive = {entry['NodeID'] for entry in ray.nodes() if entry['Alive']}
            earlier = [place for place in earlier if place in alive]
        self.begun[what] = [*earlier, node]
        return len(earlier)

    def end(self, what: Sequence[str]) -> None:
        """Forgets the attempts of what has ended."""
        for entry in what:
            self.begun.pop(entry, None)


class Attempts:
    """Goes through the images of an operator; travels with it."""

    def __init__(self, ledger: ActorHandle, operator: str) -> None:
        """Args:
        ledger: of `start_ledger`.
        operator: tells its images from the same ones in another operator.
        """
        self.ledger, self.operator = ledger, operator

    def each(self, names: Sequence[str], do: Callable[[int], Any], give_up: Callable[[int], Any]) -> list[Any]:
        """Does a batch.

        Args:
            names: of its images.
            do: the work on the image of an index.
            give_up: in its place, where that ends the process.

        Returns:
            What these give, an image each.
        """
        batch = f'{self.operator}/{"|".join(names)}'
        alone = [f'{self.operator}/{name}#{i}' for i, name in enumerate(names)]
        # of a batch of one its image is to blame the first time already
        if len(names) > 1 and self._begin(batch) == 0:
            results = [do(i) for i in range(len(names))]
        else:
            results = [self._alone(name, do, give_up, i) for i, name in enumerate(alone)]
        # those that were given up, too, and only now: the batch may be begun again for the sake of another
        self.ledger.end.remote([batch, *alone])
        return results

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Around what an actor loads before its first batch: Ray starts a process that dies of it again, without end.

        Raises:
            RuntimeError: if it did so three times.
        """
        what = f'{self.operator}/loading in {ray.get_runtime_context().get_actor_id()}'
        if self._begin(what) >= MOST:
            raise RuntimeError(f'a process that loads the models ended {MOST} times: out of memory?')
        yield
        self.ledger.end.remote([what])

    def _alone(self, name: str, do: Callable[[int], Any], give_up: Callable[[int], Any], index: int) -> Any:
        if self._begin(name) >= MOST:
            return give_up(index)
        result = do(index)
        self.ledger.end.remote([name])
        return result

    def _begin(self, what: str) -> int:
        earlier = self.ledger.begin.remote(what, ray.get_runtime_context().get_node_id())
        # the answer takes some milliseconds, in which a GPU would wait between two batches
        return 0 if self._never_restarted else int(ray.get(earlier))

    @cached_property
    def _never_restarted(self) -> bool:
        """Whether this process is an actor in its first life: Ray repeats a batch in the actor that died of it."""
        context = ray.get_runtime_context()
        return context.get_actor_id() is not None and not context.was_current_actor_reconstructed


def start_ledger() -> ActorHandle:
    """Starts a ledger on the driver's machine, which outlives the others; it ends with the last handle of it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    options: dict[str, Any] = dict(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)
    return cast(ActorHandle, ray.remote(**options)(Ledger).remote())
