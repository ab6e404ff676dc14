"""The table of costs, by hand."""

import pytest

from projects.benchmark.cost import Setup, main


def test_hours_and_cost_by_hand():
    setup = Setup('8 GPUs', 8, 0.5, 3.0)
    # 8 GPUs at half their pace are 4: 72,000 images at 2 a second each take 2.5 hours of all eight
    assert setup.hours(72_000, 2.0) == pytest.approx(2.5)
    assert setup.cost(72_000, 2.0) == pytest.approx(60.0)


def test_an_interruption_costs_what_is_done_again():
    steady, spot = Setup('a', 1, 1.0, 1.0), Setup('b', 1, 1.0, 1.0, interruptions=0.5, lost=720.0)
    # 720 s lost every second hour are a tenth
    assert spot.hours(10**6, 1.0) == pytest.approx(1.1 * steady.hours(10**6, 1.0))


def test_table(capsys):
    main(['--images-per-second', '2', '--price', '3', '--spot-price', '1', '--ray', '0.9', '--interruptions', '0'])
    head, _, *rows = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in row.strip('|').split('|')] for row in (head, *rows)]
    assert [row[0].split(',')[0] for row in cells[1:]] == ['one GPU', 'one machine', 'Slurm', 'Ray', 'Ray']
    one, ray, spot = (cells[i][cells[0].index('10,000,000 images')] for i in (1, 4, 5))
    assert one == '1,389 h, 4,167'
    assert ray == '48.2 h, 4,630'
    assert spot == '48.2 h, 1,543'


@pytest.mark.parametrize('wrong', ['--price 0', '--price 3 --ray 0', '--price 3 --lost -1'])
def test_numbers_out_of_range(wrong):
    with pytest.raises(SystemExit, match='expected'):
        main(f'--images-per-second 2 {wrong}'.split())
