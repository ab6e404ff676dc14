"""How a run's log becomes images a second and overhead; and one run."""

import pytest

from projects.benchmark.scaling import main, steady_state


def spans(start, *, sleep=1.0, between=0.0, count=10):
    return [(start + i * (sleep + between), start + i * (sleep + between) + sleep) for i in range(count)]


def test_rates_add_up_and_starts_do_not_count():
    found = steady_state([spans(0.0, count=20), spans(7.5)], seconds=1.0)
    assert found.images_per_second == pytest.approx(2.0)
    assert found.overhead_ms == pytest.approx(0.0)


def test_overhead_is_what_lies_between_images():
    found = steady_state([spans(0.0, between=0.25)], seconds=1.0)
    assert found.images_per_second == pytest.approx(0.8)
    assert found.overhead_ms == pytest.approx(8 * 250)


def test_processes_that_were_never_at_work_together():
    with pytest.raises(ValueError, match='two images'):
        steady_state([spans(0.0), spans(100.0)], seconds=1.0)


def test_a_run(capsys):
    main(['one', '--images', '4', '--seconds', '0.05'])
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith('one:1')
    assert 1 < float(line.split()[1]) < 20
