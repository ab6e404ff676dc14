import json

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from mmseg_g4seg.mmseg import RefinementMetric

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
    assert f'{metrics["mIoU"] - metrics["coarse_mIoU"]:+.2f}' in table
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


def test_format_only_writes_label_maps(tmp_path):
    from PIL import Image

    data = samples(1)
    data[0]['reduce_zero_label'] = True
    metric = RefinementMetric(format_only=True, output_dir=str(tmp_path))
    assert evaluate(metric, data) == {}
    written = np.asarray(Image.open(tmp_path / '0.png'))
    assert np.array_equal(written, data[0]['pred_sem_seg']['data'][0].numpy() + 1)


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
        'class', 'coarse IoU', 'G4Seg IoU', 'refined IoU', 'difference'
    ]  # fmt: skip


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

    def test_classes_as_csv(self, tmp_path):
        evaluate(RefinementMetric(report_dir=str(tmp_path), mean_classes='labelled'), samples())
        header, *rows = (tmp_path / 'classes.csv').read_text().splitlines()
        report = json.loads((tmp_path / 'metrics.json').read_text())
        assert header == 'class,coarse,refined'
        assert [row.split(',')[0] for row in rows] == list(CLASSES)
        assert float(rows[2].split(',')[2]) == report['refined']['classes']['IoU']['fish']
        assert rows[3] == 'never there,,'
