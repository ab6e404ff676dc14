"""The page that a run of mmseg leaves: figures of its metrics, pictures of the images that changed most."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmseg_g4seg.hosts.mmseg import metric as metric_module
from mmseg_g4seg.hosts.mmseg.class_names import announce_settings
from mmseg_g4seg.hosts.mmseg.metric import RefinementMetric
from tests.evaluation.html.parsed import ParsedPage

META = {'classes': ('sky', 'grass', 'fish'), 'palette': [[9, 9, 200], [9, 200, 9], [200, 9, 9]]}


@pytest.fixture
def samples(tmp_path):
    """Six images of 20 x 30; the later ones gain more, the first gets worse."""
    result = []
    for i in range(6):
        Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)).save(tmp_path / f'{i}.png')
        truth = torch.arange(30).div(10, rounding_mode='floor').expand(1, 20, 30).clone()
        coarse, refined = truth.clone(), truth.clone()
        coarse[:, : 2 * i] = 2
        refined[:, :1] = 1
        entry = {'gt_sem_seg': truth, 'coarse_sem_seg': coarse, 'pred_sem_seg': refined}
        result.append({'img_path': str(tmp_path / f'{i}.png'), **{key: {'data': data} for key, data in entry.items()}})
    return result


def evaluate(metric, samples):
    metric.dataset_meta = META
    for sample in samples:
        metric.process({}, [sample])
    metric.evaluate(len(samples))


def shown(folder):
    return json.loads((folder / 'report_data.json').read_text())['pictures']


def test_best_and_worst_images_with_their_photographs(tmp_path, samples):
    evaluate(RefinementMetric(report_dir=str(tmp_path / 'out'), pictures=2), samples)
    pictures = shown(tmp_path / 'out')
    assert [picture['name'] for picture in pictures] == ['5.png', '4.png', '0.png']
    assert all(picture['photo'] for picture in pictures)
    assert ['grass', '#09c809'] in pictures[0]['classes'], "the data set's own colours"
    page = ParsedPage((tmp_path / 'out/report.html').read_text())
    metrics = json.loads((tmp_path / 'out/metrics.json').read_text())
    assert page.figures[('refined', 'mIoU')][0] == metrics['refined']['mIoU']


def test_an_image_that_cannot_be_read_is_shown_by_its_masks(tmp_path, samples):
    for sample in samples:
        sample['img_path'] = '/on/another/machine.png'
    evaluate(RefinementMetric(report_dir=str(tmp_path / 'out'), pictures=1), samples)
    assert [picture['photo'] for picture in shown(tmp_path / 'out')] == ['', '']


def test_processes_bring_their_pictures_together(tmp_path, samples, monkeypatch):
    """The other process has seen the last three images."""
    other = RefinementMetric(report_dir=str(tmp_path / 'other'), pictures=2)
    other.dataset_meta = META
    other.process({}, samples[3:])
    monkeypatch.setattr(metric_module, 'all_gather_object', lambda own: [own, (other.extremes.pictures, {})])
    evaluate(RefinementMetric(report_dir=str(tmp_path / 'out'), pictures=2), samples[:3])
    assert [picture['name'] for picture in shown(tmp_path / 'out')] == ['5.png', '4.png', '0.png']


def test_a_second_evaluation_starts_anew(tmp_path, samples):
    metric = RefinementMetric(report_dir=str(tmp_path / 'out'), pictures=1)
    evaluate(metric, samples)
    evaluate(metric, samples[:3])
    assert [picture['name'] for picture in shown(tmp_path / 'out')] == ['2.png', '0.png']


def test_masks_for_fiftyone(tmp_path, samples, monkeypatch):
    monkeypatch.setattr(metric_module, 'all_gather_object', lambda own: [own, ([], {'9': '/other/process/9.png'})])
    metric = RefinementMetric(fiftyone_dir=str(tmp_path / 'fiftyone'))
    evaluate(metric, samples)
    images = json.loads((tmp_path / 'fiftyone/data.json').read_text())
    assert images == {**{str(i): str(tmp_path / f'{i}.png') for i in range(6)}, '9': '/other/process/9.png'}
    values = np.asarray(Image.open(tmp_path / 'fiftyone/refined/3.png'))
    assert (values == samples[3]['pred_sem_seg']['data'][0].numpy() + 1).all()


@pytest.mark.parametrize('inside', [False, True], ids=['plain', 'test-time augmentation'])
def test_config_of_the_run_is_in_the_page(tmp_path, samples, inside, monkeypatch):
    model = dict(type='RefinedSegmentor', refiner=dict(type='PAMRRefiner', iterations=7))
    announce_settings(Config(dict(model=dict(module=model) if inside else model, seed=31)))
    evaluate(RefinementMetric(report_dir=str(tmp_path / 'out')), samples)
    settings = json.loads((tmp_path / 'out/report_data.json').read_text())['notes']['settings']
    assert 'iterations' in settings['Refiner']
    assert 'seed' not in settings['Refiner']
    assert 'seed' in settings['Config']
    announce_settings(Config(dict(model=dict(type='EncoderDecoder'))))
    assert 'Refiner' not in metric_module.tested_settings()
