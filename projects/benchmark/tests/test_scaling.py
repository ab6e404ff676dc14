"""How a run's log becomes images a second and overhead; and one run."""

import pytest

from projects.benchmark.scaling import main, steady_state


def spans(start, *, between=0.0, tasks=0.0, count=24):
    """Images of a second each: `between` two of a task, and `tasks` more between two tasks of eight."""
    starts = [start + i * (1 + between) + (i // 8) * tasks for i in range(count)]
    return [(begin, begin + 1) for begin in starts]


def test_rates_add_up_and_starts_do_not_count():
    found = steady_state([spans(0.0, count=30), spans(7.5)])
    assert found.images_per_second == pytest.approx(2.0)
    assert found.image_ms == pytest.approx(0.0)
    assert found.task_ms == pytest.approx(0.0)


def test_images_and_tasks_have_each_their_overhead():
    found = steady_state([spans(0.0, between=0.25, tasks=0.5)])
    assert found.images_per_second == pytest.approx(23 / (23 * 1.25 + 2 * 0.5))
    assert found.image_ms == pytest.approx(250)
    assert found.task_ms == pytest.approx(500)


def test_processes_that_were_never_at_work_together():
    with pytest.raises(ValueError, match='expected 9 images of every process while all are at work, got 0'):
        steady_state([spans(0.0), spans(100.0)])


def test_a_run(capsys):
    main(['one', '--images', '10', '--seconds', '0.05'])
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith('one:1')
    assert 1 < float(line.split()[1]) < 20
