"""Operators of a pipeline on batches of this process."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mmseg_g4seg.hosts.ray_data.operators import RefineStages
from mmseg_g4seg.hosts.ray_data.rows import Setting
from mmseg_g4seg.refiners.build import cut_chain
from tests.hosts.folder.conftest import CLASSES


class InProcess:
    """In place of `Attempts`: nothing dies."""

    def loading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def each(self, names: Sequence[str], do: Callable[[int], Any], give_up: Callable[[int], Any]) -> list[Any]:
        return [do(i) for i in range(len(names))]


def batch_of(*rows: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def refining(config: Mapping[str, Any], *, ends: bool = False) -> RefineStages:
    [part] = cut_chain(config)
    return RefineStages(Setting(CLASSES), InProcess(), part=part, class_options={}, ends=ends)
