import numpy as np
import pytest
import torch
from mmengine.runner import Runner, load_checkpoint
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_g4seg.refiners.base import Refiner
from tests.hosts.mmseg.conftest import plain_config, refined


def run(config, checkpoint=None):
    config.load_from = checkpoint
    return Runner.from_cfg(config).test()


class TestCheckpoint:
    def test_plain_checkpoint_loads_with_every_key(self, data_root, tmp_path, checkpoint):
        plain = MODELS.build(plain_config(data_root, tmp_path).model)
        wrapped = MODELS.build(refined(plain_config(data_root, tmp_path), None).model)
        load_checkpoint(plain, checkpoint, strict=True)
        load_checkpoint(wrapped, checkpoint, strict=True)  # strict: a key too many or too few raises
        weights = torch.load(checkpoint, weights_only=True)['state_dict']
        loaded = wrapped.segmentor.state_dict()
        assert loaded.keys() == weights.keys()
        assert all(torch.equal(loaded[name], weights[name]) for name in weights)

    def test_torch_loads_and_saves_the_plain_keys(self, data_root, tmp_path, checkpoint):
        wrapped = MODELS.build(refined(plain_config(data_root, tmp_path), None).model)
        weights = torch.load(checkpoint, weights_only=True)['state_dict']
        wrapped.load_state_dict(weights, strict=True)
        assert wrapped.state_dict().keys() == weights.keys()
        wrapped.load_state_dict(wrapped.state_dict(), strict=True)

    def test_foreign_key_is_reported(self, data_root, tmp_path, checkpoint):
        wrapped = MODELS.build(refined(plain_config(data_root, tmp_path), None).model)
        weights = torch.load(checkpoint, weights_only=True)['state_dict']
        weights['backbone.other'] = torch.zeros(1)
        with pytest.raises(RuntimeError, match=r'backbone\.other'):
            wrapped.load_state_dict(weights, strict=True)


class TestMetrics:
    @pytest.mark.parametrize(
        'changes',
        [
            {},
            {'reduce_zero_label': True, 'labels': 'shifted'},
            {'test_cfg': dict(mode='slide', crop_size=(32, 32), stride=(16, 16))},
        ],
        ids=['whole', 'reduce_zero_label', 'slide'],
    )
    def test_without_refiner_bit_identical_and_with_one_the_coarse_figures(
        self, data_root, tmp_path, checkpoint, refiner_config, changes
    ):
        plain = run(plain_config(data_root, tmp_path / 'a', **changes), checkpoint)
        bare = run(refined(plain_config(data_root, tmp_path / 'b', **changes), None), checkpoint)
        both = run(refined(plain_config(data_root, tmp_path / 'c', **changes), refiner_config), checkpoint)
        assert plain['mIoU'] > 0
        for name in ('mIoU', 'mAcc', 'aAcc'):
            assert bare[name] == plain[name]
            assert bare[f'coarse_{name}'] == plain[name]
            assert both[f'coarse_{name}'] == plain[name]
        assert both['images_better'] + both['images_worse'] + both['images_same'] == 3
        assert both['refine_seconds'] > 0
        assert both['coarse_seconds'] > 0

    def test_half_precision_is_the_coarse_models(self, data_root, tmp_path):
        """`TestLoop(fp16=True)` runs a model under autocast: the prior's VAE would overflow in it."""

        class Noting(Refiner):
            def refine_batch(self, images, predictions, classes, *, keys=None):
                found.add((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
                return list(predictions)

        found, inputs = set(), torch.zeros(1, 3, 32, 32)
        config = refined(plain_config(data_root, tmp_path), Noting(), class_names=list('abcde'))
        model = MODELS.build(config.model).eval()
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            (coarse,), (result,) = model.segmentor.predict(inputs), model.predict(inputs)
        assert found == {torch.float32}
        assert coarse.seg_logits.data.dtype == torch.bfloat16
        assert torch.equal(result.coarse_sem_seg.data, coarse.pred_sem_seg.data)

    def test_batch_size_changes_nothing(self, data_root, tmp_path, checkpoint, refiner_config):
        results = []
        for batch_size in (1, 3):
            config = refined(plain_config(data_root, tmp_path / str(batch_size)), refiner_config)
            config.test_dataloader.batch_size = batch_size
            # images of one batch must have one size after resizing
            config.test_dataloader.dataset.pipeline[1] = dict(type='Resize', scale=(48, 48), keep_ratio=False)
            results.append(run(config, checkpoint))
        assert results[0]['mIoU'] == results[1]['mIoU']
        assert results[0]['mIoU'] != results[0]['coarse_mIoU']

    def test_binary_head(self, data_root, tmp_path, refiner_config):
        config = refined(plain_config(data_root, tmp_path, num_classes=1), refiner_config)
        config.test_evaluator.ignore_index = 255
        model = MODELS.build(config.model).eval()
        torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=3)
        plain = MODELS.build(plain_config(data_root, tmp_path, num_classes=1).model).eval()
        plain.load_state_dict(model.state_dict())
        model.dataset_meta = {'classes': ('background', 'fish')}
        data = {'inputs': [torch.randint(0, 255, (3, 48, 48), dtype=torch.uint8)]}
        from mmseg.structures import SegDataSample

        def sample():
            return SegDataSample(metainfo={'ori_shape': (40, 40), 'img_shape': (48, 48), 'img_path': 'x.png'})

        with torch.no_grad():
            expected = plain.test_step({**data, 'data_samples': [sample()]})[0]
            result = model.test_step({**data, 'data_samples': [sample()]})[0]
        assert torch.equal(result.coarse_sem_seg.data, expected.pred_sem_seg.data)
        assert result.seg_logits.data.shape == expected.seg_logits.data.shape == (1, 40, 40)
        assert result.pred_sem_seg.data.shape == (1, 40, 40)
        assert set(result.pred_sem_seg.data.unique().tolist()) <= {0, 1}
        assert not torch.equal(result.seg_logits.data, expected.seg_logits.data)


class TestImage:
    """The refiner must see the picture itself, whatever the pipeline did to it."""

    @pytest.mark.parametrize('bgr_to_rgb', [True, False])
    @pytest.mark.parametrize('normalise', [True, False])
    def test_colours_padding_and_flip_are_undone(self, bgr_to_rgb, normalise):
        from mmseg.models import SegDataPreProcessor
        from mmseg.structures import SegDataSample

        from mmseg_g4seg.hosts.mmseg.images import recover_image

        options = dict(mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0]) if normalise else {}
        preprocessor = SegDataPreProcessor(bgr_to_rgb=bgr_to_rgb, test_cfg=dict(size_divisor=32), **options)
        rgb = torch.randint(0, 255, (3, 40, 50), dtype=torch.uint8)
        sample = SegDataSample(
            metainfo={'ori_shape': (40, 50), 'img_shape': (40, 50), 'flip': True, 'flip_direction': 'horizontal'}
        )
        data = {'inputs': [rgb.flip(0).flip(-1)], 'data_samples': [sample]}  # BGR, mirrored
        out = preprocessor(data, False)
        assert out['inputs'].shape == (1, 3, 64, 64)
        image = recover_image(out['inputs'][0], out['data_samples'][0].metainfo, preprocessor)
        torch.testing.assert_close(image, rgb.float() / 255, atol=1e-5, rtol=0)

    @pytest.mark.parametrize('bgr_to_rgb', [True, False])
    def test_either_spelling_of_the_host(self, bgr_to_rgb):
        """mmseg 1.2.2 says `channel_conversion`: read by the other spelling alone, red and blue were exchanged."""
        from mmseg.models import SegDataPreProcessor

        from mmseg_g4seg.hosts.mmseg.images import recover_image

        class Upstream(SegDataPreProcessor):
            def __init__(self, **options):
                super().__init__(**options)
                value = vars(self).pop('_channel_conversion', None)
                self.channel_conversion = self.channel_conversion if value is None else value

        rgb = torch.randint(0, 255, (3, 8, 10), dtype=torch.uint8)
        inputs = rgb if bgr_to_rgb else rgb.flip(0)
        image = recover_image(inputs.float(), {'ori_shape': (8, 10)}, Upstream(bgr_to_rgb=bgr_to_rgb))
        torch.testing.assert_close(image, rgb.float() / 255)

    def test_a_preprocessor_without_either_is_an_error(self):
        from mmseg_g4seg.hosts.mmseg.images import recover_image

        with pytest.raises(AttributeError, match=r'Identity: expected one of .*_enable_normalize, enable_normalize'):
            recover_image(torch.rand(3, 8, 8), {}, torch.nn.Identity())

    def test_the_base_class_leaves_pixels_alone(self):
        from mmengine.model import BaseDataPreprocessor

        from mmseg_g4seg.hosts.mmseg.images import recover_image

        bgr = torch.randint(0, 255, (3, 8, 10), dtype=torch.uint8)
        image = recover_image(bgr.float(), {}, BaseDataPreprocessor())
        torch.testing.assert_close(image, bgr.flip(0).float() / 255)

    def test_resizing_is_undone(self):
        from mmseg.models import SegDataPreProcessor

        from mmseg_g4seg.hosts.mmseg.images import recover_image

        image = recover_image(torch.full((3, 20, 20), 51.0), {'ori_shape': (30, 45)}, SegDataPreProcessor())
        assert image.shape == (3, 30, 45)
        torch.testing.assert_close(image, torch.full((3, 30, 45), 0.2))

    def test_other_channels_are_refused(self):
        from mmseg_g4seg.hosts.mmseg.images import recover_image

        with pytest.raises(ValueError, match=r'\(3, H, W\)'):
            recover_image(torch.rand(4, 8, 8), {}, torch.nn.Identity())


class TestInference:
    def test_init_model_and_inference_model(self, data_root, tmp_path, checkpoint, refiner_config):
        from mmseg.apis import inference_model, init_model

        config = refined(plain_config(data_root, tmp_path), refiner_config)
        model = init_model(config, checkpoint, device='cpu')
        path = str(data_root / 'images' / '0.png')
        result = inference_model(model, path)
        assert result.pred_sem_seg.data.shape == (1, 40, 56)
        plain = inference_model(init_model(plain_config(data_root, tmp_path), checkpoint, device='cpu'), path)
        assert torch.equal(result.coarse_sem_seg.data, plain.pred_sem_seg.data)
        array = inference_model(model, np.zeros((33, 47, 3), np.uint8))
        assert array.pred_sem_seg.data.shape == (1, 33, 47)

    def test_inferencer(self, data_root, tmp_path, checkpoint, refiner_config):
        from mmseg.apis import MMSegInferencer

        config = refined(plain_config(data_root, tmp_path), refiner_config)
        config.test_dataloader.dataset.pipeline = config.test_pipeline
        inferencer = MMSegInferencer(config, checkpoint, classes=None, palette=None, device='cpu')
        result = inferencer(str(data_root / 'images' / '0.png'), return_datasamples=True)
        assert 'coarse_sem_seg' in result

    def test_no_class_names_is_an_error_with_the_remedy(self, data_root, tmp_path, refiner_config):
        model = MODELS.build(refined(plain_config(data_root, tmp_path), refiner_config).model).eval()
        with torch.no_grad(), pytest.raises(ValueError, match=r'model\.class_names'):
            model.predict(torch.zeros(1, 3, 32, 32))

    def test_a_text_is_no_list_of_names(self, data_root, tmp_path):
        """Five letters would be the names of five classes."""
        config = refined(plain_config(data_root, tmp_path), None, class_names='a.txt')
        with pytest.raises(TypeError, match=r"class_names: expected a list of names, got the text 'a\.txt'"):
            MODELS.build(config.model)

    def test_number_of_class_names_is_checked(self, data_root, tmp_path, refiner_config):
        config = refined(plain_config(data_root, tmp_path), refiner_config, class_names=['sky', 'fish'])
        model = MODELS.build(config.model).eval()
        with torch.no_grad(), pytest.raises(ValueError, match='5 classes, but 2 class names'):
            model.predict(torch.zeros(1, 3, 32, 32))


def test_modes_of_forward_are_the_plain_models(data_root, tmp_path):
    """Training asks for losses, and tools that count operations for tensors: neither is refined."""
    plain = MODELS.build(plain_config(data_root, tmp_path).model).eval()
    model = MODELS.build(refined(plain_config(data_root, tmp_path), None).model).eval()
    model.load_state_dict(plain.state_dict())
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 32, 32))))
    inputs = torch.rand(1, 3, 32, 32)
    for mode in ('loss', 'tensor'):
        torch.manual_seed(0)  # of dropout in the head
        expected = plain(inputs, [sample], mode=mode)
        torch.manual_seed(0)
        torch.testing.assert_close(model(inputs, [sample], mode=mode), expected, rtol=0, atol=0)


def test_answers_for_the_wrapped_model(data_root, tmp_path):
    model = MODELS.build(refined(plain_config(data_root, tmp_path), None).model)
    assert model.decode_head is model.segmentor.decode_head
    assert model.out_channels == 5
    assert model.with_decode_head
    with pytest.raises(AttributeError, match='nothing_like_it'):
        _ = model.nothing_like_it
