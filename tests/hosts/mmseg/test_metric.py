import csv
import json
import os
import pickle

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric
from PIL import Image

from mmseg_g4seg.evaluation.json_csv import as_json
from mmseg_g4seg.evaluation.records import measure_image
from mmseg_g4seg.evaluation.table import changes_line, gain_text, mean_table
from mmseg_g4seg.hosts.folder.report import evaluate as evaluate_folder
from mmseg_g4seg.hosts.mmseg.metric import RefinementMetric

CLASSES = ('sky', 'grass', 'fish', 'never there')


def samples(count=5, seed=0, ignore=255):
    generator = torch.Generator().manual_seed(seed)
    result = []
    for i in range(count):
        truth = torch.randint(0, 3, (1, 12, 15), generator=generator)
        noise = torch.rand(truth.shape, generator=generator)
        coarse = torch.where(noise < 0.5, torch.randint(0, 3, truth.shape, generator=generator), truth)
        refined = torch.where(noise < 0.2, coarse, truth)
        truth[noise > 0.95] = ignore
        result.append(
            {
                'img_path': f'folder/{i}.png',
                'gt_sem_seg': {'data': truth},
                'coarse_sem_seg': {'data': coarse},
                'pred_sem_seg': {'data': refined},
                'stage_names': ['G4Seg'],
                'stage_seconds': {'coarse': 0.5, 'G4Seg': 1.5},
            }
        )
    return result


def evaluate(metric, data, classes=CLASSES):
    metric.dataset_meta = {'classes': classes}
    for sample in data:
        metric.process({}, [sample])
    return metric.evaluate(len(data))


def miou_by_hand(pairs, classes):
    """Mean over classes that occur of intersection / union, counted pixel by pixel."""
    ious = []
    for c in range(classes):
        intersection = sum(int(((p == c) & (t == c)).sum()) for p, t in pairs)
        union = sum(int((((p == c) & (t != 255)) | (t == c)).sum()) for p, t in pairs)
        if union:
            ious.append(intersection / union)
    return 100 * sum(ious) / len(ious)


@pytest.mark.parametrize('stage', ['coarse', 'pred'])
def test_figures_by_hand_and_by_mmseg(stage):
    data = samples()
    metrics = evaluate(RefinementMetric(), data)
    prefix = 'coarse_' if stage == 'coarse' else ''
    pairs = [(s[f'{stage}_sem_seg']['data'][0], s['gt_sem_seg']['data'][0]) for s in data]
    assert metrics[f'{prefix}mIoU'] == pytest.approx(miou_by_hand(pairs, 4), abs=0.006)
    alone = evaluate(IoUMetric(), [{**s, 'pred_sem_seg': s[f'{stage}_sem_seg']} for s in data])
    for name, value in alone.items():
        assert metrics[prefix + name] == value


def test_an_option_that_there_is_not():
    """mmseg's metric takes any, and drops it."""
    with pytest.raises(ValueError, match=r"no option 'mean_clases'; expected some of \['beta', .*'mean_classes'"):
        RefinementMetric(mean_clases='labelled')
    # what its own script sets
    RefinementMetric(output_dir=None, keep_results=True)


def test_changes_and_seconds():
    data = samples()
    data[1]['pred_sem_seg'] = data[1]['coarse_sem_seg']
    data[2]['pred_sem_seg'], data[2]['coarse_sem_seg'] = data[2]['coarse_sem_seg'], data[2]['pred_sem_seg']
    metrics = evaluate(RefinementMetric(), data)
    assert (metrics['images_better'], metrics['images_worse'], metrics['images_same']) == (3, 1, 1)
    assert metrics['coarse_seconds'] == pytest.approx(0.5)
    assert metrics['refine_seconds'] == pytest.approx(1.5)


def test_report(tmp_path):
    metrics = evaluate(RefinementMetric(report_dir=str(tmp_path)), samples())
    report = json.loads((tmp_path / 'metrics.json').read_text())
    assert report['coarse']['mIoU'] == pytest.approx(metrics['coarse_mIoU'])
    assert report['refined']['mIoU'] == pytest.approx(metrics['mIoU'])
    assert report['refined']['classes']['IoU']['never there'] is None
    assert [image['name'] for image in report['images']] == [f'{i}.png' for i in range(5)]
    assert report['images_better'] == sum(image['refined'] > image['coarse'] for image in report['images'])
    table = (tmp_path / 'table.txt').read_text()
    assert 'never there' in table
    assert f'{metrics["mIoU"]:.2f}' in table
    # the gain that has the interval, and not the difference of two rounded means
    assert f'{report["gain"]["mIoU"]:+.2f} |' in table
    assert not list(tmp_path.glob('*.partial'))


def test_other_metrics_of_mmseg():
    metrics = evaluate(RefinementMetric(iou_metrics=['mDice', 'mFscore']), samples())
    assert {'mDice', 'coarse_mDice', 'mFscore', 'coarse_mPrecision'} <= metrics.keys()


def test_samples_that_nobody_refined():
    data = [{k: v for k, v in s.items() if not k.startswith(('coarse', 'stage'))} for s in samples()]
    metrics = evaluate(RefinementMetric(), data)
    assert metrics['mIoU'] == metrics['coarse_mIoU']
    assert metrics['images_same'] == 5


def test_image_without_labels_counts_as_same():
    data = samples()
    data[0]['gt_sem_seg'] = {'data': torch.full((1, 12, 15), 255)}
    metrics = evaluate(RefinementMetric(), data)
    assert metrics['images_same'] == 1
    assert np.isfinite(metrics['mIoU'])


class TestMeanClasses:
    def test_labelled(self):
        data = samples()
        data[0]['pred_sem_seg'] = {'data': torch.full((1, 12, 15), 3)}
        everything = evaluate(RefinementMetric(), data)
        labelled = evaluate(RefinementMetric(mean_classes='labelled'), data)
        assert labelled['mIoU'] == pytest.approx(everything['mIoU'] * 4 / 3, abs=0.02)
        assert labelled['aAcc'] == everything['aAcc']

    def test_names(self, tmp_path):
        evaluate(RefinementMetric(mean_classes=['fish'], report_dir=str(tmp_path)), samples())
        refined = json.loads((tmp_path / 'metrics.json').read_text())['refined']
        assert refined['mIoU'] == refined['classes']['IoU']['fish']
        assert refined['classes']['IoU']['sky'] is None
        with pytest.raises(ValueError, match='whale'):
            evaluate(RefinementMetric(mean_classes=['whale']), samples())


def test_a_chain_has_a_column_a_stage(tmp_path):
    data = samples()
    for sample in data:
        sample['stage0_sem_seg'] = sample['gt_sem_seg']
        sample['stage_names'] = ['G4Seg', 'CRF']
        sample['stage_seconds'] = {'coarse': 0.5, 'G4Seg': 1.5, 'CRF': 0.25}
    metrics = evaluate(RefinementMetric(report_dir=str(tmp_path)), data)
    assert metrics['G4Seg_mIoU'] == 100
    assert metrics['coarse_mIoU'] < metrics['mIoU'] < 100
    assert metrics['refine_seconds'] == pytest.approx(1.75)
    header = (tmp_path / 'table.txt').read_text().split('\n')[1]
    assert [c.strip() for c in header.strip('|').split('|')] == [
        'class', 'coarse IoU', 'G4Seg IoU', 'refined IoU', 'IoU gain', 'coarse BIoU', 'refined BIoU', 'BIoU gain'
    ]  # fmt: skip
    assert metrics['G4Seg_mBIoU'] == 100


class TestGain:
    def test_is_the_tables_difference_with_an_interval(self, tmp_path):
        data = samples(count=12)
        metrics = evaluate(RefinementMetric(report_dir=str(tmp_path)), data)
        report = json.loads((tmp_path / 'metrics.json').read_text())['gain']
        assert report['mIoU'] == pytest.approx(metrics['mIoU'] - metrics['coarse_mIoU'], abs=0.011)
        assert metrics['gain_low'] < report['mIoU'] < metrics['gain_high']
        assert metrics['gain_low'] > 0, 'every image gained'
        assert report['interval'] == [metrics['gain_low'], metrics['gain_high']]
        text = (tmp_path / 'table.txt').read_text()
        assert f'mIoU gain {report["mIoU"]:+.2f}, 95 % interval over images [' in text

    def test_by_initial_iou(self, tmp_path):
        """Every mask of every image in its bin, counted by hand."""
        data = samples(count=6)
        evaluate(RefinementMetric(report_dir=str(tmp_path)), data)
        gains = {0: [], 40: [], 80: []}
        for s in data:
            truth, coarse, refined = (s[k]['data'] for k in ('gt_sem_seg', 'coarse_sem_seg', 'pred_sem_seg'))
            for c in range(3):
                ious = [
                    float(((m == c) & (truth == c)).sum() / (((m == c) & (truth != 255)) | (truth == c)).sum()) * 100
                    for m in (coarse, refined)
                ]
                gains[0 if ious[0] < 40 else 40 if ious[0] < 80 else 80].append(ious[1] - ious[0])
        for entry in json.loads((tmp_path / 'metrics.json').read_text())['gain']['by_initial_iou']:
            own = gains[entry['from']]
            assert entry['masks'] == len(own)
            assert entry['gain'] == (pytest.approx(sum(own) / len(own), abs=0.006) if own else None)


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_classes_as_csv(tmp_path):
    data = scenes()
    for sample in data:
        sample['stage0_sem_seg'] = sample['gt_sem_seg']
        sample['stage_names'] = ['G4Seg', 'CRF']
    evaluate(RefinementMetric(report_dir=str(tmp_path), mean_classes='labelled'), data)
    report = json.loads((tmp_path / 'metrics.json').read_text())
    rows = rows_of(tmp_path / 'classes.csv')
    columns = [f'{stage}_{metric}' for metric in ('IoU', 'BIoU') for stage in ('coarse', 'G4Seg', 'refined')]
    assert [list(row) for row in rows] == [['class', *columns]] * 4
    assert [row['class'] for row in rows] == list(CLASSES)
    for column in columns:
        stage, metric = column.split('_')
        figures = report[stage]['classes'][metric]
        assert [float(row[column]) for row in rows[:3]] == [figures[c] for c in CLASSES[:3]]
    assert list(rows[3].values())[1:] == [''] * 6


class TestImages:
    @pytest.fixture
    def data(self):
        """Twelve images; 0, 1, 4 and 5 lose, 2 has no label, 3 does not change, the others gain."""
        data = samples(count=12)
        for i in (0, 1, 4, 5):
            data[i]['pred_sem_seg'], data[i]['coarse_sem_seg'] = data[i]['coarse_sem_seg'], data[i]['pred_sem_seg']
        data[2]['gt_sem_seg'] = {'data': torch.full((1, 12, 15), 255)}
        data[3]['pred_sem_seg'] = data[3]['coarse_sem_seg']
        return data

    @staticmethod
    def miou(sample, mask):
        labels, truth = sample[mask]['data'], sample['gt_sem_seg']['data']
        ious = [
            float(((labels == c) & (truth == c)).sum() / (((labels == c) & (truth != 255)) | (truth == c)).sum())
            for c in truth[truth != 255].unique().tolist()
        ]
        return 100 * sum(ious) / len(ious) if ious else None

    def by_hand(self, data):
        pairs = {s['img_path'][7:]: [self.miou(s, m) for m in ('coarse_sem_seg', 'pred_sem_seg')] for s in data}
        gains = {name: after - before for name, (before, after) in pairs.items() if before is not None}
        return pairs, gains

    def test_worst_and_best_are_named(self, data, tmp_path):
        evaluate(RefinementMetric(report_dir=str(tmp_path)), data)
        pairs, gains = self.by_hand(data)
        ranked = sorted(gains, key=gains.get)
        report = json.loads((tmp_path / 'metrics.json').read_text())
        assert [row['name'] for row in report['gained_most']] == ranked[:-6:-1]
        assert [row['name'] for row in report['lost_most']] == ranked[:4]
        text = (tmp_path / 'table.txt').read_text()
        for row in (*report['gained_most'], *report['lost_most']):
            assert [row['coarse'], row['refined']] == pytest.approx(pairs[row['name']], abs=0.006)
            assert row['gain'] == pytest.approx(gains[row['name']], abs=0.006)
            assert f'{row["gain"]:+.2f}  {row["coarse"]:6.2f} -> {row["refined"]:6.2f}  {row["name"]}' in text

    def test_nothing_gained(self, data, tmp_path):
        evaluate(RefinementMetric(report_dir=str(tmp_path)), data[2:4])
        report = json.loads((tmp_path / 'metrics.json').read_text())
        assert report['gained_most'] == report['lost_most'] == []
        assert 'gained most, mean IoU of the image: none' in (tmp_path / 'table.txt').read_text()

    def test_as_csv(self, data, tmp_path):
        evaluate(RefinementMetric(report_dir=str(tmp_path)), data)
        pairs, gains = self.by_hand(data)
        rows = rows_of(tmp_path / 'images.csv')
        assert [row['name'] for row in rows] == [f'{i}.png' for i in range(12)]
        assert list(rows[0]) == ['name', 'coarse', 'refined', 'gain']
        for row in rows:
            expected = [*pairs[row['name']], gains.get(row['name'])]
            found = [float(row[key]) if row[key] else None for key in ('coarse', 'refined', 'gain')]
            assert found == (expected if expected[0] is None else pytest.approx(expected, abs=1e-4))

    def test_json_has_null_where_an_image_has_no_label(self, data, tmp_path):
        evaluate(RefinementMetric(report_dir=str(tmp_path)), data)
        text = (tmp_path / 'metrics.json').read_text()
        assert 'NaN' not in text
        assert json.loads(text)['images'][2] == {'name': '2.png', 'coarse': None, 'refined': None}


def scenes(count=4, seed=0, classes=3, size=(60, 80)):
    """Images of large squares, whose boundaries are 2 pixels wide; the coarse masks are shifted and noisy."""
    rng = np.random.default_rng(seed)
    result = []
    for i in range(count):
        truth = np.kron(rng.integers(0, classes, (3, 4)), np.ones((20, 20), int))[: size[0], : size[1]]
        refined = np.roll(truth, 1, axis=1)
        coarse = np.where(rng.random(truth.shape) < 0.05, rng.integers(0, classes, truth.shape), np.roll(refined, 2))
        truth = np.where(rng.random(truth.shape) < 0.001, 255, truth)
        truth[:4] = 255
        masks = {'gt_sem_seg': truth, 'coarse_sem_seg': coarse, 'pred_sem_seg': refined}
        result.append({name: {'data': torch.from_numpy(mask)[None]} for name, mask in masks.items()})
        result[-1].update(img_path=f'{i}.png', stage_names=['G4Seg'], stage_seconds={'coarse': 0.25, 'G4Seg': 0.75})
    return result


def boundary_iou_by_hand(pairs, c, ignore=255):
    """IoU of the boundaries of one class: pixels with one of another label within `width`, looked up one by one."""
    totals = np.zeros(2)
    for labels, truth in pairs:
        width = max(1, round(0.02 * float(np.hypot(*truth.shape))))
        regions = []
        for mask in (labels == c, truth == c):
            padded = np.pad(mask, width)
            region = np.zeros_like(mask)
            for y, x in zip(*np.nonzero(mask), strict=True):
                region[y, x] = not padded[y : y + 2 * width + 1, x : x + 2 * width + 1].all()
            regions.append(region & (truth != ignore))
        totals += (regions[0] & regions[1]).sum(), (regions[0] | regions[1]).sum()
    return totals[0] / totals[1] * 100 if totals[1] else None


class TestBoundaries:
    @staticmethod
    def pairs(data, stage):
        return [(s[f'{stage}_sem_seg']['data'][0].numpy(), s['gt_sem_seg']['data'][0].numpy()) for s in data]

    @pytest.mark.parametrize('ignore', [255, 1])
    def test_by_hand(self, tmp_path, ignore):
        data = scenes()
        if ignore != 255:
            for sample in data:
                truth = sample['gt_sem_seg']['data']
                truth[truth == 255] = ignore
        metrics = evaluate(RefinementMetric(report_dir=str(tmp_path), ignore_index=ignore), data)
        report = json.loads((tmp_path / 'metrics.json').read_text())
        for stage, mask, prefix in (('coarse', 'coarse', 'coarse_'), ('refined', 'pred', '')):
            expected = [boundary_iou_by_hand(self.pairs(data, mask), c, ignore) for c in range(4)]
            if ignore != 255:  # nobody can be right about a class that is ignored
                assert expected[1] == 0
            found = list(report[stage]['classes']['BIoU'].values())
            assert found[3] is expected[3] is None
            assert found[:3] == pytest.approx(expected[:3], abs=0.006)
            assert metrics[f'{prefix}mBIoU'] == pytest.approx(np.mean(expected[:3]), abs=0.006)
            assert report[stage]['mBIoU'] == metrics[f'{prefix}mBIoU']
            assert abs(metrics[f'{prefix}mBIoU'] - metrics[f'{prefix}mIoU']) > 5
        text = (tmp_path / 'table.txt').read_text()
        assert f'{report["boundary_gain"]["mBIoU"]:+.2f} |' in text

    def test_gain_with_an_interval(self, tmp_path):
        metrics = evaluate(RefinementMetric(report_dir=str(tmp_path)), scenes(count=8))
        report = json.loads((tmp_path / 'metrics.json').read_text())
        gain = report['boundary_gain']
        assert gain['mBIoU'] == pytest.approx(metrics['mBIoU'] - metrics['coarse_mBIoU'], abs=0.011)
        assert gain['interval'][0] < gain['mBIoU'] < gain['interval'][1]
        assert gain['interval'] != report['gain']['interval']
        assert f'mBIoU gain {gain["mBIoU"]:+.2f}, 95 % interval' in (tmp_path / 'table.txt').read_text()

    def test_nan_to_num(self):
        plain, filled = (evaluate(RefinementMetric(nan_to_num=number), scenes()) for number in (None, 0))
        for name in ('mIoU', 'mBIoU', 'coarse_mIoU', 'coarse_mBIoU'):
            assert filled[name] == pytest.approx(plain[name] * 3 / 4, abs=0.011)

    def test_mean_classes(self):
        data = scenes()
        metrics = evaluate(RefinementMetric(mean_classes=['fish']), data)
        assert metrics['mBIoU'] == pytest.approx(boundary_iou_by_hand(self.pairs(data, 'pred'), 2), abs=0.006)
        data[0]['pred_sem_seg'] = {'data': torch.full((1, 60, 80), 3)}
        everything, labelled = (evaluate(RefinementMetric(mean_classes=m), data) for m in (None, 'labelled'))
        assert labelled['mBIoU'] == pytest.approx(everything['mBIoU'] * 4 / 3, abs=0.02)

    def test_off(self, tmp_path):
        metrics = evaluate(RefinementMetric(report_dir=str(tmp_path), boundary=False), scenes())
        everything = evaluate(RefinementMetric(), scenes())
        assert metrics == {name: value for name, value in everything.items() if 'BIoU' not in name}
        assert all('BIoU' not in path.read_text() for path in tmp_path.iterdir())

    def test_beside_dice(self):
        metrics = evaluate(RefinementMetric(iou_metrics='mDice'), scenes())
        assert metrics['mBIoU'] == evaluate(RefinementMetric(), scenes())['mBIoU']
        assert 'mIoU' not in metrics


def test_the_folder_host_finds_the_same(tmp_path):
    """The same masks through mmseg's metric and through the records of a folder's report: one evaluation."""
    data = scenes()
    evaluate(RefinementMetric(report_dir=str(tmp_path), mean_classes='labelled'), data)
    images = []
    for sample in data:
        maps = {
            stage: sample[key]['data'][0] for stage, key in (('coarse', 'coarse_sem_seg'), ('refined', 'pred_sem_seg'))
        }
        truth, seconds = sample['gt_sem_seg']['data'][0], sample['stage_seconds']
        images.append(measure_image(sample['img_path'], maps, truth, len(CLASSES), seconds=seconds).as_dict())
    report = evaluate_folder(json.loads(json.dumps({'images': images})), CLASSES)
    assert as_json(report) == (tmp_path / 'metrics.json').read_text()
    table = (tmp_path / 'table.txt').read_text()
    for part in (mean_table(report), changes_line(report), gain_text(report)):
        assert part in table


class TestBadInput:
    def test_ids_out_of_range(self):
        data = samples(2)
        data[1]['gt_sem_seg']['data'][0, 0, :3] = torch.tensor([7, 33, 4])
        data[1]['seg_map_path'] = 'labels/munich_labelIds.png'
        with pytest.raises(
            ValueError, match=r'labels/munich_labelIds\.png: expected label ids 0 to 3, or 255'
        ) as error:
            evaluate(RefinementMetric(), data)
        for words in ('got 4, 7, 33:', 'seg_map_suffix', 'reduce_zero_label', 'g4seg check-dataset'):
            assert words in str(error.value)

    def test_many_ids_reduced_by_one_and_no_label_path(self):
        data = samples(1)
        data[0]['gt_sem_seg']['data'][0, 0] = torch.arange(-1, 14)
        data[0]['reduce_zero_label'] = True
        with pytest.raises(
            ValueError, match=r'folder/0\.png.*got -1, 4, 5, 6, 7, 8, 9, 10, \.\.\. \(after reduce_zero'
        ):
            evaluate(RefinementMetric(), data)

    def test_the_ignored_id_is_no_error_wherever_it_is(self):
        evaluate(RefinementMetric(ignore_index=9), samples(ignore=9))
        with pytest.raises(ValueError, match='got 255'):
            evaluate(RefinementMetric(ignore_index=9), samples(ignore=255))

    @pytest.mark.parametrize('meta', [{}, {'palette': []}, {'classes': None}, {'classes': ()}])
    def test_data_set_without_class_names(self, meta):
        with pytest.raises(ValueError, match=r'no class names.*metainfo=dict\(classes='):
            RefinementMetric().dataset_meta = meta

    def test_class_names_never_set(self):
        with pytest.raises(ValueError, match='no class names'):
            RefinementMetric().process({}, samples(1))

    def test_no_ground_truth(self):
        data = samples(1)
        del data[0]['gt_sem_seg']
        with pytest.raises(ValueError, match=r'folder/0\.png: no ground truth.*LoadAnnotations'):
            evaluate(RefinementMetric(), data)

    def test_ground_truth_of_another_size(self):
        data = samples(1)
        data[0]['gt_sem_seg'] = {'data': torch.zeros(1, 12, 14, dtype=torch.long)}
        with pytest.raises(ValueError, match=r'folder/0\.png.*\(12, 15\), got \(12, 14\)'):
            evaluate(RefinementMetric(), data)

    def test_no_images(self):
        with pytest.raises(ValueError, match='no image was evaluated'):
            evaluate(RefinementMetric(), [])


class TestLabelMaps:
    @pytest.mark.parametrize('shifted', [False, True])
    def test_are_mmsegs_with_the_coarse_ones_beside(self, tmp_path, shifted):
        data = [{**sample, 'reduce_zero_label': shifted} for sample in samples(2)]
        evaluate(RefinementMetric(output_dir=str(tmp_path / 'ours')), data)
        evaluate(IoUMetric(output_dir=str(tmp_path / 'theirs')), data)
        assert sorted(p.name for p in (tmp_path / 'ours').iterdir()) == ['0.png', '1.png', 'coarse']
        for i, sample in enumerate(data):
            name = f'{i}.png'
            assert (tmp_path / 'ours' / name).read_bytes() == (tmp_path / 'theirs' / name).read_bytes()
            coarse = np.asarray(Image.open(tmp_path / 'ours/coarse' / name))
            assert np.array_equal(coarse, sample['coarse_sem_seg']['data'][0].numpy() + shifted)
        assert not list(tmp_path.rglob('*.partial'))

    def test_of_samples_that_nobody_refined(self, tmp_path):
        data = [{k: v for k, v in s.items() if not k.startswith(('coarse', 'stage'))} for s in samples(2)]
        evaluate(RefinementMetric(output_dir=str(tmp_path)), data)
        assert sorted(p.name for p in tmp_path.iterdir()) == ['0.png', '1.png']

    def test_format_only_needs_no_ground_truth(self, tmp_path):
        data = [{k: v for k, v in s.items() if k != 'gt_sem_seg'} for s in samples(2)]
        assert evaluate(RefinementMetric(format_only=True, output_dir=str(tmp_path)), data) == {}
        for folder, key in ((tmp_path, 'pred_sem_seg'), (tmp_path / 'coarse', 'coarse_sem_seg')):
            assert np.array_equal(np.asarray(Image.open(folder / '1.png')), data[1][key]['data'][0].numpy())

    def test_format_only_without_a_folder(self):
        """mmseg's metric stops at the end of the run, by a TypeError."""
        with pytest.raises(ValueError, match=r'format_only: .* expected output_dir'):
            RefinementMetric(format_only=True)

    def test_more_classes_than_eight_bits_hold(self, tmp_path):
        data = samples(1)
        data[0]['pred_sem_seg'] = {'data': torch.full((1, 12, 15), 299)}
        evaluate(RefinementMetric(output_dir=str(tmp_path)), data, classes=[str(i) for i in range(300)])
        assert (np.asarray(Image.open(tmp_path / '0.png')) == 299).all()


def chain_of_three(count, classes, **options):
    """Samples of a chain: G4Seg, then CascadePSP, then a dense CRF."""
    data = scenes(count, classes=classes, **options)
    for sample in data:
        sample['stage0_sem_seg'] = sample['stage1_sem_seg'] = sample['pred_sem_seg']
        sample['stage_names'] = ['G4Seg', 'CascadePSP', 'DenseCRF']
        sample['stage_seconds'] = {'coarse': 0.5, 'G4Seg': 1.0, 'CascadePSP': 2.0, 'DenseCRF': 0.25}
    return data


class TestManyClasses:
    NAMES = (*(f'class {i}' for i in range(149)), 'a name that nobody would want in full in a table')

    def test_the_log_stays_readable(self, tmp_path):
        """150 classes and three refiners: a line a class, no wider than a log window."""
        evaluate(RefinementMetric(report_dir=str(tmp_path)), chain_of_three(4, 150), classes=self.NAMES)
        lines = (tmp_path / 'table.txt').read_text().splitlines()
        assert len(lines) < 150 + 40
        assert max(map(len, lines)) <= 140
        assert sum(line.startswith('| class ') for line in lines) == 150
        assert any('a name that nobody would ...' in line for line in lines)
        for mean in ('mIoU', 'mBIoU'):
            cells = next(line for line in lines if line.startswith(f'| {mean} ')).strip('|').split('|')
            assert len(cells) == 6, 'a column a stage, and the gain'

    def test_what_is_kept_of_an_image_is_small(self):
        """Processes exchange it, for thousands of images."""
        metric = RefinementMetric()
        metric.dataset_meta = {'classes': self.NAMES}
        metric.process({}, chain_of_three(3, 8))
        assert len(metric.results) == 3
        for result in metric.results:
            assert result.areas.shape == (4, 2, 3, len(result.classes))
            assert len(result.classes) <= 8
            assert len(pickle.dumps(result)) < 5000


def run_process(rank, count, folder):
    """One of `count` processes: its share of the samples, in the sampler's order."""
    os.chdir(folder)
    torch.distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=count)
    metric = RefinementMetric(report_dir=f'{folder}/two')
    metric.dataset_meta = {'classes': CLASSES}
    data = chain_of_three(5, 3)
    # mmengine's sampler fills up the last round from the start
    metric.process({}, [data[i % 5] for i in range(rank, 6, count)])
    metric.evaluate(5)


def test_two_processes_give_the_report_of_one(tmp_path):
    """Every file byte by byte, the seconds included, with an image that one process counts in vain."""
    evaluate(RefinementMetric(report_dir=str(tmp_path / 'one')), chain_of_three(5, 3))
    # forks have imported mmseg
    torch.multiprocessing.start_processes(run_process, args=(2, str(tmp_path)), nprocs=2, start_method='fork')
    names = sorted(path.name for path in (tmp_path / 'one').iterdir())
    page = ['report.html', 'report_data.json']  # with the folder's name and the command of the process
    assert names == sorted(['classes.csv', 'images.csv', 'metrics.json', 'table.txt', *page])
    for name in set(names) - set(page):
        assert (tmp_path / 'one' / name).read_bytes() == (tmp_path / 'two' / name).read_bytes()
    one, two = (json.loads((tmp_path / run / 'report_data.json').read_text())['pictures'] for run in ('one', 'two'))
    assert one == two
