import csv
import io
import json
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.evaluation.areas import class_areas, mean_iou
from projects.experiments.plan import Run, read_experiment
from projects.experiments.run import read_results, result_path, run_images
from projects.experiments.table import as_csv, as_markdown, make_rows
from projects.experiments.tests.conftest import PAMR, write_config
from tests.conftest import ROOT

TOOL = ROOT / 'projects/experiments/__main__.py'


def _records(out):
    """Results by run and image, without the seconds that they took."""
    records = {}
    for path in out.rglob('*.jsonl'):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        records[path.relative_to(out)] = {line.pop('name'): line for line in lines if line.pop('seconds')}
    return records


class TestScript:
    def run(self, data, monkeypatch, *options):
        config = write_config(data, f'runs = dict(plain={PAMR!r})')
        arguments = [str(TOOL), str(config), '--out', str(data / 'out'), *options]
        monkeypatch.setattr(sys, 'argv', arguments)
        runpy.run_path(str(TOOL), run_name='__main__')
        return data / 'out'

    def test_a_selection_that_is_not_there_is_refused(self, data, monkeypatch):
        for options, message in (
            (['--runs', 'plian'], r"--runs: expected some of \['plain'\], got \['plian'\]"),
            (['--sets', 'real', 'reel'], r"--sets: .* got \['reel'\]"),
            (['--block', '0'], '--block: expected at least 1'),
            (['--table-only'], 'with results, found none'),
        ):
            with pytest.raises(SystemExit, match=message):
                self.run(data, monkeypatch, *options)
        assert not (data / 'out').exists()

    def test_blocks_of_neighbours(self, data, monkeypatch):
        plain = self.run(data, monkeypatch, '--sets', 'real') / 'table.csv'
        blocks = self.run(data, monkeypatch, '--sets', 'real', '--block', '6', '--table-only') / 'table_block6.csv'
        (row,), (blocked,) = (list(csv.DictReader(path.open())) for path in (plain, blocks))
        assert float(row['low']) < float(row['gain']) < float(row['high'])
        assert (blocked['low'], blocked['high']) == ('nan', 'nan'), 'all are drawn together, each time'

    def test_processes_beside_each_other(self, data, monkeypatch):
        one, two = data / 'one', data / 'two'
        for out, options in ((one, []), (two, ['--processes', '2'])):
            self.run(data, monkeypatch, *options)
            (data / 'out').rename(out)
        assert _records(one) == _records(two)
        assert len(_records(two)) == 2

    def test_page_of_a_run(self, data, monkeypatch, capsys):
        out = self.run(data, monkeypatch, '--sets', 'real', '--report', '--pictures', '1')
        (page,) = out.rglob('report.html')
        assert str(page) in capsys.readouterr().out
        (row,) = csv.DictReader((out / 'table.csv').open())
        metrics = json.loads((page.parent / 'metrics.json').read_text())
        assert metrics['gain']['mIoU'] == pytest.approx(float(row['gain']), abs=0.006)
        content = json.loads((page.parent / 'report_data.json').read_text())
        assert content['notes']['title'] == 'plain, real'
        listed = [changes[0]['name'] for changes in (metrics['gained_most'], metrics['lost_most']) if changes]
        assert [picture['name'] for picture in content['pictures']] == listed
        for picture in content['pictures']:
            (image,) = (image for image in metrics['images'] if image['name'] == picture['name'])
            assert picture['after'] == pytest.approx(image['refined'])


class TestRun:
    def run(self, data, refiner, names, **options):
        experiment = read_experiment(write_config(data, 'runs = dict(plain=dict())'))
        run = Run('plain', 'real', refiner)
        run_images(run, experiment.sets['real'], data / 'out', names=names, **options)
        return run, experiment.sets['real'], read_results(result_path(data / 'out', run))

    def test_figures_by_hand(self, data):
        from mmseg_g4seg import Prediction, build_refiner

        names = [f'im{i}' for i in range(6)]
        run, image_set, results = self.run(data, PAMR, names)
        before, after = [], []
        for name in names:
            image = torch.from_numpy(np.array(Image.open(data / f'images/{name}.png'))).permute(2, 0, 1) / 255
            stored = torch.from_numpy(np.load(data / f'scores/{name}.npz')['probs'])
            probs = torch.nn.functional.interpolate((stored / stored.sum(0))[None], (20, 24), mode='bilinear')[0]
            truth = torch.from_numpy(np.array(Image.open(data / f'labels/{name}.png'))).long()
            refined = build_refiner(PAMR).refine(image, Prediction(probs, probs.argmax(0)), ['a', 'b', 'c'])
            before.append(class_areas(probs.argmax(0), truth, 3))
            after.append(class_areas(refined.label_map, truth, 3))
        (row,) = make_rows(run, image_set, results, names)
        expected = [mean_iou(torch.stack(areas).sum(0)).item() * 100 for areas in (before, after)]
        assert (row['coarse'], row['refined']) == pytest.approx(expected)
        assert row['gain'] == pytest.approx(expected[1] - expected[0])
        assert row['images'] == 6
        assert row['low'] <= row['gain'] <= row['high']
        gains = [float(mean_iou(a) - mean_iou(b)) for a, b in zip(after, before, strict=True)]
        assert (row['better'], row['worse']) == (sum(g > 0 for g in gains), sum(g < 0 for g in gains))

    def test_classes_of_the_refiners_config(self, data):
        """No class reaches a threshold of 1, so that all is background."""
        options = dict(background='tree', threshold=1.0)
        _, _, results = self.run(data, {**PAMR, 'classes': options}, ['im0'])
        record = results['im0']
        assert record.class_pixels[-1].tolist() == [20 * 24 * (c == 1) for c in record.classes]

    def test_a_bad_label_map_is_named(self, data):
        Image.fromarray(np.full((20, 24), 7, np.uint8)).save(data / 'labels/im1.png')
        with pytest.raises(ValueError, match=r'labels/im1\.png: .*7'):
            self.run(data, PAMR, ['im0', 'im1'])

    def test_goes_on_where_it_stopped(self, data, monkeypatch):
        names = [f'im{i}' for i in range(6)]
        run, _, _ = self.run(data, PAMR, names[:3])
        path = result_path(data / 'out', run)
        whole = path.read_text()
        path.write_text(whole[:-40])  # as a kill leaves it
        _, _, results = self.run(data, PAMR, names)
        assert sorted(results) == names
        fresh = self.run(data / '.', {**PAMR, 'memory_limit_mib': 256}, names)[2]
        for name in names:
            assert torch.equal(results[name].areas, fresh[name].areas)
        monkeypatch.setattr('projects.experiments.run.build_refiner', None)
        self.run(data, PAMR, names)  # nothing left to do: builds nothing

    def test_lines_of_an_earlier_version_are_refused(self, data):
        run, *_ = self.run(data, PAMR, ['im0'])
        path = result_path(data / 'out', run)
        path.write_text('{"image": "im0", "areas": {"coarse": [[1], [1], [1]]}}\n')
        with pytest.raises(ValueError, match='not of this version; start the run anew'):
            read_results(path)

    def test_another_refiner_of_the_same_name_is_another_run(self, data):
        run, *_ = self.run(data, PAMR, ['im0'])
        other = Run(run.name, run.set_name, {**PAMR, 'iterations': 2})
        assert result_path(data, run) != result_path(data, other)

    def test_results_of_other_scores_are_not_mixed_in(self, data):
        run, image_set, _ = self.run(data, PAMR, ['im0'])
        better = replace(image_set, scores=(data / 'scores').rename(data / 'better'))
        with pytest.raises(ValueError, match=r'real\.json: expected the options of the run .*; scores was '):
            run_images(run, better, data / 'out', names=['im1'])

    def test_a_row_a_stage(self, data):
        chain = dict(type='SequentialRefiner', refiners=[PAMR, PAMR])
        run, image_set, results = self.run(data, chain, ['im0', 'im1'])
        rows = make_rows(run, image_set, results, ['im0', 'im1', 'not there'])
        assert [row['run'] for row in rows] == ['plain: PAMR', 'plain']
        assert rows[1]['seconds'] >= rows[0]['seconds']
        assert [row['images'] for row in rows] == [2, 2]
        table = list(csv.DictReader(io.StringIO(as_csv(rows))))
        assert float(table[1]['gain']) == pytest.approx(rows[1]['gain'], abs=1e-3)
        assert as_markdown(rows).count('\n') == 4
        assert json.loads(next(iter(result_path(data / 'out', run).open())))['name'] == 'im0'
        assert make_rows(run, image_set, {}, ['im0']) == []

    def test_against_another_run(self, data):
        names = ['im0', 'im1', 'im2']
        run, image_set, results = self.run(data, PAMR, names)
        other, _, others = self.run(data, {**PAMR, 'iterations': 3}, names)
        (own,), (row,) = (make_rows(other, image_set, others, names, against=a) for a in (others, results))
        assert (own['gain'], own['low'], own['high']) == (0, 0, 0)
        (first,), (second,) = (make_rows(r, image_set, lines, names) for r, lines in ((run, results), (other, others)))
        assert row['coarse'] == pytest.approx(first['refined'])
        assert row['gain'] == pytest.approx(second['refined'] - first['refined'])
