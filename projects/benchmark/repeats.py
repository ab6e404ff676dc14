"""Repeats that share a machine fairly: by turns, so that a busy minute hits all alike."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar('T')


class Timed(Generic[T]):
    """One run: the seconds it took and what it told about them."""

    def __init__(self, seconds: float, detail: T) -> None:
        self.seconds, self.detail = seconds, detail


def by_turns(
    runs: Mapping[str, Callable[[], Timed[T]]], *, repeats: int, limit_seconds: float
) -> dict[str, list[Timed[T]]]:
    """Calls each run `repeats` times, by turns; one that has spent its limit is not called again.

    Args:
        runs: by name; each times itself.
        repeats: at least 1.
        limit_seconds: for each name.

    Returns:
        At least one result a name, in order.
    """
    results: dict[str, list[Timed[T]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            if not results[name] or sum(r.seconds for r in results[name]) < limit_seconds:
                results[name].append(run())
    return results


def median_run(results: list[Timed[T]]) -> Timed[T]:
    """The run of median time, of two middle ones the faster: its stages sum to its own total."""
    return sorted(results, key=lambda r: r.seconds)[(len(results) - 1) // 2]
