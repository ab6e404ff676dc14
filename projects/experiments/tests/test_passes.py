"""Passes are counted where the denoiser is called, and compared run by run; each timestep with all."""

import json

import pytest

from projects.experiments import passes, timesteps

CONFIG = """
paths = dict(images='{0}/images', scores='{0}/scores', labels='{0}/labels', classes='{0}/classes.txt')
sets = dict(real=paths)
update = dict(type='LikelihoodUpdate', timesteps=(300, 100), uncertain_below=1.0)
every = dict(type='G4SegRefiner', prior='tiny', image_size=32, update=update)
race = dict(every, update=dict(update, timesteps=dict(type='Race', timesteps=(300, 100), keep=(2,))))
runs = dict(every=every, race=race, chain=dict(type='SequentialRefiner', refiners=[every, every]))
"""


@pytest.fixture
def config(data):
    path = data / 'config.py'
    path.write_text(CONFIG.format(data))
    return path


def test_ratios_to_the_first_run(config, tmp_path, capsys, monkeypatch):
    arguments = [str(config), '--out', str(tmp_path / 'out'), '--half', 'odd', '--images', '2']
    passes.main(arguments)
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / 'out/real').glob('*.json'))]
    assert len(records) == 2
    # three classes at two timesteps; in the chain twice, the second time about what is still unsure
    assert [record['every']['passes'] for record in records] == [6, 6]
    assert all(3 < record['race']['passes'] < 3 + 3 * 3 for record in records)
    assert all(6 < record['chain']['passes'] <= 12 for record in records)
    table = (tmp_path / 'out/table.md').read_text()
    row = next(line for line in table.splitlines() if line.startswith('| real | every |'))
    assert '| 2 | 6.0 | 100.0% |' in row
    assert row.endswith('| +0.00 [+0.00, +0.00] |')
    assert table in capsys.readouterr().out

    monkeypatch.setattr(passes, 'measure', lambda *_: pytest.fail('what is done was done again'))
    passes.main(arguments)

    config.write_text(config.read_text().replace('keep=(2,)', 'keep=(3,)'))
    measured = []
    monkeypatch.setattr(passes, 'measure', lambda name, *_: measured.append(name) or records[0]['race'])
    passes.main(arguments)
    assert len(measured) == 2, 'the run that changed, on each of the images'


def test_unknown_runs_and_sets_are_named(config, tmp_path):
    with pytest.raises(SystemExit, match=r"--runs: expected some of \['every', 'race', 'chain'\], got \['none'\]"):
        passes.main([str(config), '--out', str(tmp_path), '--runs', 'none'])
    with pytest.raises(SystemExit, match=r"--sets: expected some of \['real'\], got \['unreal'\]"):
        passes.main([str(config), '--out', str(tmp_path), '--sets', 'unreal'])


def test_each_timestep_beside_all(config, capsys):
    timesteps.main([str(config), '--run', 'every', '--images', '2'])
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows[2:] if row] == ['300', '100', 'all']
    assert all(0 < float(row[2].rstrip('%')) <= 100 for row in rows[2:4])
    with pytest.raises(SystemExit, match='expected a likelihood update with timesteps'):
        timesteps.main([str(config), '--run', 'race'])
