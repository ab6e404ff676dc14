import copy

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_g4seg.hosts.mmseg.launch.config import use_tta
from mmseg_g4seg.hosts.mmseg.tta import RefinedSegTTAModel, clearest_view
from mmseg_g4seg.refiners.base import Refiner
from tests.hosts.mmseg.conftest import plain_config, refined


class CountingRefiner(Refiner):
    """Remembers what it was given, and gives it back."""

    def __init__(self):
        self.calls = []

    def refine_batch(self, images, predictions, classes, *, keys=None):
        self.calls.append((images, predictions, keys))
        return list(predictions)


def run_tta(config, checkpoint):
    use_tta(config)
    config.load_from = checkpoint
    runner = Runner.from_cfg(config)
    return runner, runner.test()


def test_coarse_equals_mmsegs_own_tta(data_root, tmp_path, checkpoint, refiner_config):
    _, plain = run_tta(plain_config(data_root, tmp_path / 'a'), checkpoint)
    runner, both = run_tta(refined(plain_config(data_root, tmp_path / 'b'), refiner_config), checkpoint)
    assert isinstance(runner.model, RefinedSegTTAModel)
    assert both['coarse_mIoU'] == plain['mIoU']
    assert both['mIoU'] != both['coarse_mIoU']


def test_refines_once_an_image_after_merging(data_root, tmp_path, checkpoint):
    refiner = CountingRefiner()
    config = refined(plain_config(data_root, tmp_path), None)
    scales = [dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.5, 1.0, 2.0)]
    config.tta_pipeline[1].transforms[0] = scales
    use_tta(config)
    config.load_from = checkpoint
    runner = Runner.from_cfg(config)
    runner.model.module.refiner = refiner
    metrics = runner.test()
    assert [keys for _, _, keys in refiner.calls] == [['0.png'], ['1.png'], ['2.png']]
    for images, predictions, _ in refiner.calls:
        assert predictions[0].probs.shape[1:] == images[0].shape[1:]
        torch.testing.assert_close(predictions[0].probs.sum(0), torch.ones(images[0].shape[1:]))
    assert metrics['mIoU'] == metrics['coarse_mIoU']
    first = np.array(Image.open(data_root / 'images/0.png').convert('RGB'))
    given = (refiner.calls[0][0][0] * 255).permute(1, 2, 0)
    # the picture itself, not one that was halved and enlarged again
    np.testing.assert_allclose(given.numpy(), first, atol=1e-3)


def test_a_threshold_decides_before_the_refiner_as_behind_it(data_root, tmp_path, checkpoint):
    """Views that were decided by argmax had the threshold's effect counted as a refiner's."""
    config = refined(plain_config(data_root, tmp_path), None, classes=dict(background='sky', threshold=0.4))
    use_tta(config)
    config.load_from = checkpoint
    runner = Runner.from_cfg(config)
    runner.model.module.refiner = refiner = CountingRefiner()
    metrics = runner.test()
    for _, (coarse,), _ in refiner.calls:
        expected = torch.where(coarse.probs[1:].amax(0) >= 0.4, coarse.probs[1:].argmax(0) + 1, 0)
        assert coarse.label_map.equal(expected)
        assert not coarse.label_map.equal(coarse.probs.argmax(0))
    assert metrics['images_same'] == 3


@pytest.mark.parametrize(
    ('views', 'expected'),
    [
        ([(0.5, False), (0.5, True), (1.0, True), (1.0, False), (2.0, False)], 3),
        ([(0.5, False), (1.5, True), (1.25, False)], 2),
        ([(0.5, False), (0.75, True), (0.75, False)], 2),
    ],
)
def test_the_picture_comes_from_the_clearest_view(views, expected):
    samples = []
    for scale, flip in views:
        size = (round(40 * scale), round(60 * scale))
        samples.append(SegDataSample(metainfo=dict(img_shape=size, ori_shape=(40, 60), flip=flip)))
    assert clearest_view(samples) == expected


def test_a_one_channel_head(data_root, tmp_path):
    """mmseg's own model takes the sigmoid of a sigmoid, which is above any threshold up to 0.5: all is the object."""
    config = refined(plain_config(data_root, tmp_path, num_classes=1), None, class_names=['background', 'fish'])
    model = RefinedSegTTAModel(MODELS.build(config.model)).eval()
    model.module.refiner = CountingRefiner()
    image = torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8)
    metas = [dict(ori_shape=(32, 64), img_shape=(32, 64), flip=f, flip_direction='horizontal') for f in (False, True)]
    data = dict(inputs=[[image], [image.flip(-1)]], data_samples=[[SegDataSample(metainfo=meta)] for meta in metas])
    with torch.no_grad():
        views = [{name: views[i] for name, views in copy.deepcopy(data).items()} for i in (0, 1)]
        first, second = (model.module.segmentor.test_step(view)[0].seg_logits.data for view in views)
        mean = (first + second) / 2
        model.module.decode_head.threshold = float(mean.median())
        (merged,) = model.test_step(data)
    assert not first.equal(second)
    torch.testing.assert_close(merged.seg_logits.data, mean)
    assert merged.coarse_sem_seg.data.equal((mean > mean.median()).long())
    assert merged.coarse_sem_seg.data.unique().tolist() == [0, 1]


def test_mmsegs_own_model_is_found_out(data_root, tmp_path, checkpoint):
    """By `tools/test.py --tta` of mmseg: the table had the coarse masks of the last view, and a gain of TTA's."""
    config = refined(plain_config(data_root, tmp_path), None)
    use_tta(config)
    config.model.type, config.load_from = 'SegTTAModel', checkpoint
    runner = Runner.from_cfg(config)
    runner.model.module.refiner = CountingRefiner()
    with pytest.raises(ValueError, match=r"0\.png: expected 0 pixels .* found \d+: .*tta_model=.*'RefinedSegTTAModel'"):
        runner.test()


def test_plain_module_is_refused(data_root, tmp_path):
    with pytest.raises(TypeError, match='expected a RefinedSegmentor'):
        MODELS.build(dict(type='RefinedSegTTAModel', module=plain_config(data_root, tmp_path).model))
