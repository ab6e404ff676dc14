"""Names of files that are as long as names can be, or no valid text."""

import json
import os

from tests.hosts.folder.conftest import contents, make_task, write_pair


def run(tool, task, root, config):
    return tool(root / 'images', root / 'masks', task.out, '--classes', 'background,cat,dog,tree', '--format',
                'index-png', '--refiner', config)  # fmt: skip


def test_long_names(tmp_path, tool, config):
    task = make_task(tmp_path, count=1)
    long = 'n' * 250
    write_pair(tmp_path, long, 'index-png')
    assert run(tool, task, tmp_path, config) == 0
    assert sorted(contents(task.out)) == sorted(['image_0.png', f'{long}.png', 'report.json', 'table.txt'])


def test_names_that_are_no_text(tmp_path, tool, config):
    task = make_task(tmp_path, count=1)
    _, mask = write_pair(tmp_path, 'bad', 'index-png')
    odd = os.fsdecode(os.fsencode(mask.parent) + b'/bad\xff.png')
    mask.rename(odd)
    assert run(tool, task, tmp_path, config) == 1
    assert sorted(contents(task.out)) == ['image_0.png', 'report.json', 'table.txt']
    (error,) = json.loads((task.out / 'report.json').read_text())['errors']
    assert error['path'] == odd
    assert 'bad\\udcff.png: no image of its name' in (task.out / 'table.txt').read_text()
