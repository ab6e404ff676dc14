"""Data sets that a cluster generates, which are those of one process."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from mmseg_g4seg.cli import generate
from mmseg_g4seg.hosts.generate.run import PairWorker, begin, generate_folder
from tests.hosts.folder.conftest import contents
from tests.hosts.ray_data.needs_ray import ray

OPTIONS = ['--prior', 'tiny', '--classes', 'background,sky,fish', '--size', '32', '--steps', '1']


def pictures(folder: Path) -> dict[str, bytes]:
    return {name: file for name, file in contents(folder).items() if '/' in name}


def test_the_operator(tmp_path):
    """It travels as Ray sends it, and draws what one process draws."""
    from mmseg_g4seg.hosts.ray_data.pairs import DrawPairs
    from mmseg_g4seg.hosts.ray_data.rows import Setting
    from tests.hosts.ray_data.in_process import InProcess, batch_of

    arguments = [*OPTIONS, '--count', '2', '--out']
    plain, spread = (
        generate.build_task(generate.build_parser().parse_args([*arguments, str(tmp_path / name)]))
        for name in ('plain', 'spread')
    )
    generate_folder(plain)
    work = begin(PairWorker.of(spread))
    operator = DrawPairs(
        Setting(spread.classes), InProcess(), worker=ray.cloudpickle.loads(ray.cloudpickle.dumps(work.worker))
    )
    rows = batch_of(*({'key': job.name, 'job': pickle.dumps(job)} for job in work.jobs))
    assert operator(rows) == {'name': ['000000', '000001']}
    work.finish()
    assert contents(tmp_path / 'spread') == contents(tmp_path / 'plain')
    with pytest.raises(RuntimeError, match='picture 000000 ended its process'):
        operator.fail({'key': '000000'}, 'ended its process')


@pytest.mark.slow
def test_the_command(nodes, tmp_path, capsys):
    """Three pictures by two actors, where one was drawn before; and one of a size that the prior does not take."""
    plain, spread = tmp_path / 'plain', tmp_path / 'spread'
    assert generate.main([*OPTIONS, '--count', '3', '--out', str(plain)]) == 0
    assert generate.main([*OPTIONS, '--count', '1', '--out', str(spread)]) == 0
    on_cluster = ['--ray', 'auto', '--workers', '2', '--out']
    assert generate.main([*OPTIONS, '--count', '3', *on_cluster, str(spread)]) == 0
    assert contents(spread) == contents(plain)
    assert '3 pictures' in capsys.readouterr().out
    assert generate.main([*OPTIONS, '--count', '3', '--size', '30', *on_cluster, str(tmp_path / 'none')]) == 1
    assert 'image_size: this prior takes positive multiples of 16, got (30, 30)' in capsys.readouterr().err
    assert not (tmp_path / 'none').exists()


@pytest.mark.slow
def test_a_picture_ends_its_process(nodes, tmp_path):
    """Once, as a machine that goes; and each time, which ends the run and names the picture."""
    from mmseg_g4seg.hosts.ray_data.pairs import generate_folder_on_cluster
    from tests.hosts.ray_data.stubs import DeadlyDAAM

    arguments = [*OPTIONS, '--method', 'daam', '--count', '4', '--out', str(tmp_path / 'plain')]
    plain = generate.build_task(generate.build_parser().parse_args(arguments))
    generate_folder(plain)
    deadly = {**plain.source, 'type': DeadlyDAAM.__name__, 'folder': str(tmp_path)}
    task = replace(plain, out=tmp_path / 'spread', source={**deadly, 'times': 1})
    generate_folder_on_cluster(task, workers=2)
    assert len(list(tmp_path.glob('died.*'))) == 1
    assert pictures(tmp_path / 'spread') == pictures(tmp_path / 'plain')
    with pytest.raises(RuntimeError, match=r'picture 00000\d ended its process 3 times: out of memory'):
        generate_folder_on_cluster(replace(task, out=tmp_path / 'none', source={**deadly, 'times': 99}))
