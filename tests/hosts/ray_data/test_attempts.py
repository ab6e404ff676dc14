"""Whom a dead process is blamed on, without a cluster: the ledger is an object of this process."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.hosts.ray_data.needs_ray import ray

from mmseg_g4seg.hosts.ray_data import attempts as module  # isort: skip


class Died(BaseException):
    """Ends what stands for a process."""


class Handle:
    """What Ray makes of an actor, called at once."""

    def __init__(self) -> None:
        self.ledger = module.Ledger()

    def __getattr__(self, name: str) -> Any:
        call: Callable[..., Any] = getattr(self.ledger, name)
        return type('Method', (), {'remote': staticmethod(call)})


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A cluster of two nodes; this process is on the one that `here` names: a task, or an actor with `restarts`."""
    both = ('first', 'second')
    state: dict[str, Any] = {'here': 'first', 'alive': {*both}, 'restarts': None, 'asked': 0}

    class Context:
        def get_node_id(self) -> str:
            return str(state['here'])

        def get_actor_id(self) -> str | None:
            return None if state['restarts'] is None else 'actor'

        @property
        def was_current_actor_reconstructed(self) -> bool:
            assert state['restarts'] is not None, 'of a task Ray does not say it'
            return bool(state['restarts'])

    def get(value: Any) -> Any:
        state['asked'] += 1
        return value

    monkeypatch.setattr(ray, 'get_runtime_context', Context)
    monkeypatch.setattr(ray, 'get', get)
    monkeypatch.setattr(ray, 'nodes', lambda: [{'NodeID': n, 'Alive': n in state['alive']} for n in both])
    return state


def repeated(names: list[str], deadly: set[str], attempts: module.Attempts) -> tuple[list[str], list[str]]:
    """What Ray does with a batch: begins it again as often as it dies. Returns its results, and what was begun."""
    begun: list[str] = []

    def do(i: int) -> str:
        begun.append(names[i])
        if names[i] in deadly:
            raise Died
        return f'{names[i]} done'

    results: list[str] = []
    while not results:
        with suppress(Died):
            results = attempts.each(names, do, lambda i: f'{names[i]} given up')
    return results, begun


def test_nothing_dies(nodes):
    attempts = module.Attempts(Handle(), 'refine')
    assert repeated(['a', 'b', 'c'], set(), attempts) == (['a done', 'b done', 'c done'], ['a', 'b', 'c'])
    assert attempts.ledger.ledger.begun == {}


def test_the_others_of_a_batch_are_not_blamed(nodes):
    attempts = module.Attempts(Handle(), 'refine')
    results, begun = repeated(['a', 'b', 'c', 'd'], {'b', 'd'}, attempts)
    assert results == ['a done', 'b given up', 'c done', 'd given up']
    # once among others, then alone, where what died before need not die again for the other's sake
    assert begun.count('b') == 4
    assert begun.count('d') == 3
    assert attempts.ledger.ledger.begun == {}


def test_an_actor_asks_once_it_was_restarted(nodes):
    """It notes what it begins all the same, and the others of the batch that it died of are not blamed."""
    handle, nodes['restarts'] = Handle(), 0
    assert module.Attempts(handle, 'refine').each(['a', 'b'], str, str) == ['0', '1']
    with pytest.raises(Died):
        module.Attempts(handle, 'refine').each(['a', 'b'], lambda _: die(), str)
    assert nodes['asked'] == 0
    nodes['restarts'] = 1
    results, begun = repeated(['a', 'b'], {'a'}, module.Attempts(handle, 'refine'))
    assert results == ['a given up', 'b done']
    assert begun.count('a') == 3
    assert nodes['asked'] > 0
    assert handle.ledger.begun == {}


def test_a_process_that_dies_while_it_loads(nodes):
    """Three times it may, which a machine that was taken away is none of; then the run ends, and says why."""
    handle, nodes['restarts'] = Handle(), 0
    for _ in range(module.MOST):
        with pytest.raises(Died), module.Attempts(handle, 'refine').loading():
            die()
        nodes['restarts'] += 1
    with (
        pytest.raises(RuntimeError, match='a process that loads the models ended 3 times'),
        module.Attempts(handle, 'refine').loading(),
    ):
        pass
    handle = Handle()
    with module.Attempts(handle, 'refine').loading():
        pass
    assert handle.ledger.begun == {}


def test_one_image_is_alone_from_the_beginning(nodes):
    results, begun = repeated(['a'], {'a'}, module.Attempts(Handle(), 'refine'))
    assert (results, begun) == (['a given up'], ['a'] * 3)


def test_two_operators_do_not_share_an_image(nodes):
    handle = Handle()
    with pytest.raises(Died):
        module.Attempts(handle, 'read').each(['a'], lambda _: die(), str)
    assert module.Attempts(handle, 'refine')._begin('refine/a#0') == 0


def test_an_image_of_one_name_twice(nodes):
    results, _ = repeated(['a', 'a'], set(), module.Attempts(Handle(), 'refine'))
    assert results == ['a done', 'a done']


def test_a_machine_that_was_taken_away_is_no_images_fault(nodes):
    attempts = module.Attempts(Handle(), 'refine')
    for _ in range(module.MOST):
        with pytest.raises(Died):
            attempts.each(['a'], lambda _: die(), str)
    nodes['here'], nodes['alive'] = 'second', {'second'}
    assert attempts.each(['a'], lambda _: 'done', str) == ['done']


def die() -> None:
    raise Died
