import re
import shlex
from pathlib import Path

import pytest
import yaml

from mmseg_g4seg.cli.refine_panoptic import parse_args
from mmseg_g4seg.hosts.arrays import read_refiner_config
from projects.reproduction.paper import BY_IOU, TABLES, ConfigRun, find_rows, find_table
from tests.conftest import ROOT

REFINED = ('g4seg', 'crf', 'cascadepsp', 'segrefiner')
"""What the names of configs with a refiner end in."""
ROWS = [row for table in TABLES.values() for row in table.rows]


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
def test_a_row_has_a_run_or_says_what_is_lacking(row):
    assert (row.run is None) == bool(row.lacks)
    if isinstance(row.run, ConfigRun):
        assert (ROOT / 'configs' / row.run.config).is_file()


def test_the_panoptic_row_has_a_command():
    """One that the tool takes, with a refiner that there is."""
    readme = (ROOT / 'projects/reproduction/README.md').read_text()
    (block,) = [block for block in readme.split('```bash\n') if block.startswith('g4seg refine-panoptic')]
    command = block.split('```')[0].replace('\\\n', ' ')
    args = parse_args(shlex.split(command)[2:])
    assert args.labels.name == args.labels_json.stem == 'ade20k_panoptic_val'
    assert read_refiner_config(args.refiner)['type'] == 'G4SegRefiner'
    (row,) = [row for table in TABLES.values() for row in table.rows if row.name == 'ODISE']
    assert 'README' in row.lacks


def test_checkpoints_are_those_of_mmsegs_own_index():
    from importlib.resources import files

    index = ''.join(p.read_text() for p in (files('mmseg') / '.mim/configs').glob('*/metafile.yaml'))
    addresses = {row.run.address for row in ROWS if isinstance(row.run, ConfigRun) and row.run.weights}
    assert len(addresses) == 5
    if 'mmassets' in index:  # the upstream distribution names another host
        assert all(address in index for address in addresses)


def test_what_has_no_coarse_model_here():
    """The paper's others are in the project: their rows have runs."""
    lacking = {row.name.split(',')[0] for row in ROWS if 'code' in row.lacks or 'predictions' in row.lacks}
    assert lacking == {'OVAM', 'DeOP', 'ODISE'}
    assert not [row for row in ROWS if 'not in the project' in row.lacks]


def test_tables_by_subject_and_number():
    assert find_table('I') is TABLES['text-supervised']
    assert find_table('XI') is find_table('xi') is TABLES['refiners']
    assert find_table('ablation') is find_table('III')
    assert sorted(table.number for table in TABLES.values() if table.number) == sorted(
        ['I', 'II', 'III', 'IV', 'V', 'VI', 'VII', 'VIII', 'IX', 'XI']
    )
    with pytest.raises(ValueError, match=r"supervised \(V\), .*refiners \(XI\).*got 'X'"):
        find_table('X')


def test_gains_by_initial_iou_are_printed_by_runs_that_there_are():
    for command, gains in BY_IOU.values():
        table, _, part = shlex.split(command)
        assert all(row.run for row in find_rows(find_table(table), part))
        assert {row.refined for row in find_table('VII').rows} >= set(gains)


def test_every_config_of_a_coarse_model_has_a_row():
    named = {row.run.config for row in ROWS if isinstance(row.run, ConfigRun)}
    refined = [p for end in REFINED for p in (ROOT / 'configs').glob(f'*/*_{end}*.py')]
    there = {str(p.relative_to(ROOT / 'configs')) for p in refined}
    # what runs on the demo's scenes is no row of a paper
    assert {c for c in there if not c.startswith(('saved_scores', '_base_')) and '_scenes_' not in c} == named


@pytest.mark.parametrize('file', sorted((ROOT / 'configs').glob('*/metafile.yml')), ids=lambda p: p.parent.name)
def test_metafiles_and_readmes_have_the_papers_figures(file):
    """Of a folder's every model, and where its weights are."""
    by_config = {row.run.config: row for row in ROWS if isinstance(row.run, ConfigRun) and not row.run.options}
    readme = (file.parent / 'README.md').read_text().splitlines()
    models = yaml.safe_load(file.read_text())['Models']
    assert models
    for model in models:
        row = by_config[model['Config'].removeprefix('configs/')]
        metrics = model['Results'].get('Metrics', {})
        assert metrics.get('mIoU (reported by the paper)') == row.refined
        assert metrics.get('coarse mIoU (reported by the paper)', row.coarse) == row.coarse
        authors = metrics.get('coarse mIoU (reported by its authors)')
        coarse = re.sub(r'_[^_]*(g4seg|crf|cascadepsp)[^_]*$', '.py', Path(model['Config']).stem)
        assert authors is None or any(coarse in line and f'| {authors} |' in line for line in readme)
        assert model.get('Weights', '') == (row.run.address if row.run.weights else '')
        figures = '-' if row.refined is None else f'{row.coarse}, {row.refined}'
        assert any(Path(model['Config']).name in line and f'| {figures} |' in line for line in readme)


def test_rows_by_a_part_of_their_name():
    table = find_table('supervised')
    assert [row.name for row in find_rows(table, 'dense CRF')] == [table.rows[1].name, table.rows[4].name]
    assert find_rows(table, '') == list(table.rows)
    with pytest.raises(ValueError, match=r"got 'nosuchrow'\n  SegFormer-B1\n  SegFormer-B1, then dense CRF\n"):
        find_rows(table, 'nosuchrow')
