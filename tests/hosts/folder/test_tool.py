"""The command that refines a folder."""

from dataclasses import replace

import numpy as np
import pytest

from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import (
    contents,
    contents_of_a_fresh_run,
    labels_of,
    make_task,
    read_report,
    write_labels,
)


class TestTool:
    def arguments(self, task) -> list:
        return [task.images, task.masks, task.out, '--classes', 'background,cat,dog,tree', '--format', 'index-png']

    def test_a_run(self, tmp_path, tool, config, capsys):
        task = make_task(tmp_path)
        truth = tmp_path / 'labels'
        write_labels(truth)
        assert tool(*self.arguments(task), '--refiner', config, '--labels', truth) == 0
        assert (task.out / 'table.txt').read_text() in capsys.readouterr().out
        assert contents(task.out) == contents_of_a_fresh_run(replace(task, truth=truth), tmp_path / 'fresh')

    def test_object(self, tmp_path, tool, config):
        classes = ClassList(['background', 'cat'])
        task = make_task(tmp_path, input_format='binary-png', classes=classes)
        assert tool(task.images, task.masks, task.out, '--object', 'cat', '--refiner', config) == 0
        assert contents(task.out) == contents_of_a_fresh_run(task, tmp_path / 'fresh')
        assert set(np.unique(labels_of(task.out / 'image_0.png'))) == {0, 255}

    def test_background_rule_and_output_format(self, tmp_path, tool, config):
        task = make_task(tmp_path, input_format='irn')
        arguments = [*self.arguments(task)[:5], '--refiner', config, '--format', 'irn', '--out-format', 'npz']
        assert tool(*arguments, '--background-rule', 'threshold:0.3') == 0
        first = np.load(task.out / 'image_0.npz')['probs']
        assert tool(*arguments, '--background-rule', 'power:2', '--overwrite') == 0
        assert not np.array_equal(np.load(task.out / 'image_0.npz')['probs'], first)

    def test_one_bad_file(self, tmp_path, tool, config, capsys):
        task = make_task(tmp_path)
        (task.masks / 'image_1.png').write_text('text')
        assert tool(*self.arguments(task), '--refiner', config) == 1
        assert str(task.masks / 'image_1.png') in capsys.readouterr().out
        assert len(read_report(task.out)['images']) == 2
        assert tool(*self.arguments(task), '--refiner', config, '--overwrite', '--strict') == 1
        error = capsys.readouterr().err
        assert f'error: {task.masks / "image_1.png"}: ' in error
        assert 'Traceback' not in error

    @pytest.mark.parametrize(
        ('changed', 'message'),
        [
            ({0: 'nowhere'}, 'images: no such folder'),
            ({1: 'nowhere'}, 'masks: no such folder'),
            ({2: 'masks'}, 'folder of its own'),
            ({4: 'nothing'}, 'classes: expected'),
            ({4: 'background,cat'}, 'expected labels below 2'),
            ({6: 'npz'}, 'expected masks'),
            ({9: 'nowhere'}, 'refiner'),
            ({9: 'nowhere.py'}, 'no such config file'),
        ],
    )
    def test_errors_are_one_line(self, tmp_path, tool, config, capsys, changed, message):
        arguments = [*self.arguments(make_task(tmp_path)), '--strict', '--refiner', config]
        for place, value in changed.items():
            arguments[place] = tmp_path / value if place < 3 else value
        assert tool(*arguments) == 1
        error = capsys.readouterr().err
        assert message in error.splitlines()[-1]
        assert 'Traceback' not in error

    @pytest.mark.parametrize(
        'extra', [['--background-rule', 'power'], ['--background-rule', 'threshold:2'], ['--format', 'gif']]
    )
    def test_bad_arguments(self, tmp_path, tool, extra):
        with pytest.raises(SystemExit):
            tool(*self.arguments(make_task(tmp_path)), *extra)

    @pytest.mark.parametrize(
        ('extra', 'option'),
        [
            (['--score-type', 'logits'], 'score-type'),
            (['--present-only'], 'present-only'),
            (['--any-size'], 'any-size'),
            (['--background-rule', 'power:2'], 'background-rule'),
            (['--coarse-options', 'prior=tiny'], 'coarse-options'),
            (['--batch-size', '2'], 'batch-size'),
            (['--format', 'npz', '--soften', '0.1'], 'soften'),
        ],
    )
    def test_options_that_nothing_would_read(self, tmp_path, tool, extra, option, capsys):
        with pytest.raises(SystemExit):
            tool(*self.arguments(make_task(tmp_path, count=1)), *extra)
        assert f'error: --{option} would not be read: ' in capsys.readouterr().err

    @pytest.mark.parametrize('extra', [['--background', 'dog'], ['--palette', 'colours.txt']])
    def test_an_object_has_its_own_background(self, tmp_path, tool, extra, capsys):
        with pytest.raises(SystemExit):
            tool(tmp_path, tmp_path, tmp_path / 'out', '--object', 'cat', *extra)
        assert 'would not be read: the masks of --object' in capsys.readouterr().err

    def test_no_labels_are_not_an_empty_path(self, tmp_path, tool, config, capsys):
        task = make_task(tmp_path, count=1)
        assert tool(*self.arguments(task), '--refiner', config, '--labels', '') == 1
        assert 'error: expected a path, got an empty text' in capsys.readouterr().err
