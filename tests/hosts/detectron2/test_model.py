"""A refiner behind Detectron2's own models."""

import copy
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('detectron2', reason='Detectron2 is not installed: requirements/detectron2.sh')

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.data import DatasetCatalog
from detectron2.engine import DefaultPredictor
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.utils.memory import retry_if_cuda_oom

from mmseg_g4seg.hosts.detectron2 import RefinedModel, RefinementEvaluator, add_g4seg_config, measured, refined
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.base import Refiner

from .mask2former import build_mask2former, import_mask2former, random_inputs
from .toy import CLASSES, NAME, PAMR, SIZE, TINY


class Recorder(Refiner):
    """Keeps what it is given, and gives the classes back in reverse order."""

    name = 'recorder'

    def __init__(self):
        self.calls = []

    def refine_batch(self, images, predictions, classes, *, keys=None):
        self.calls += list(zip(images, predictions, [classes] * len(images), keys, strict=True))
        return [Prediction(p.probs.flip(0), p.probs.flip(0).argmax(0)) for p in predictions]


@pytest.fixture(scope='module')
def plain(scenes):
    model = build_model(scenes).eval()
    DetectionCheckpointer(model).load(scenes.MODEL.WEIGHTS)
    return model


@pytest.fixture(scope='module')
def inputs():
    """Two images as a mapper gives them: BGR, resized."""
    found = []
    for item in DatasetCatalog.get(NAME)[:2]:
        picture = Image.open(item['file_name']).resize((59, 40))
        image = torch.from_numpy(np.ascontiguousarray(np.array(picture)[:, :, ::-1])).permute(2, 0, 1)
        found.append(dict(file_name=item['file_name'], image=image, height=SIZE[0], width=SIZE[1]))
    return found


def wrapped(plain, refiner, **options):
    return RefinedModel(plain, refiner, **{'input_format': 'BGR', 'dataset': NAME, **options}).eval()


def predict(model, inputs):
    with torch.no_grad():
        return model(inputs)


class TestOutputs:
    def test_coarse_stays_beside_refined(self, plain, inputs):
        before = predict(plain, inputs)
        after = predict(wrapped(plain, Recorder()), inputs)
        for old, new in zip(before, after, strict=True):
            assert new['sem_seg_coarse'].equal(old['sem_seg'])
            torch.testing.assert_close(new['sem_seg'], old['sem_seg'].softmax(0).flip(0))
            assert new['sem_seg_stages']['recorder'].equal(new['sem_seg'].argmax(0))
            assert new['sem_seg_seconds'].keys() == {'coarse', 'recorder'}

    def test_what_the_refiner_is_given(self, plain, inputs):
        refiner = Recorder()
        predict(wrapped(plain, refiner), inputs)
        for item, (image, coarse, classes, key) in zip(inputs, refiner.calls, strict=True):
            truth = torch.from_numpy(np.array(Image.open(item['file_name']))).permute(2, 0, 1) / 255
            assert image.shape == (3, *SIZE)
            # resized up and down again, and red is where red was
            assert float((image - truth).abs().mean()) < 0.04
            assert coarse.probs.shape == (len(CLASSES), *SIZE)
            assert classes.labels == CLASSES
            assert item['file_name'].endswith(f'/{key}')

    def test_rgb_inputs(self, plain, inputs):
        refiner = Recorder()
        predict(wrapped(plain, refiner, input_format='RGB'), inputs[:1])
        predict(wrapped(plain, refiner), inputs[:1])
        torch.testing.assert_close(refiner.calls[0][0], refiner.calls[1][0].flip(0))

    def test_the_embedded_prior_refines(self, plain, inputs):
        model = wrapped(plain, TINY)
        first, second = predict(model, inputs)
        assert first['sem_seg'].sum(0).sub(1).abs().max() < 1e-5
        assert not first['sem_seg'].argmax(0).equal(first['sem_seg_coarse'].argmax(0))
        # alone as in a batch, but for how the plain model's convolutions round
        torch.testing.assert_close(predict(model, inputs[1:])[0]['sem_seg'], second['sem_seg'], atol=1e-3, rtol=0)
        # the noise is the file name's; without one it is constant
        nameless = [{name: value for name, value in inputs[1].items() if name != 'file_name'}]
        unnamed, again = (predict(model, nameless)[0]['sem_seg'] for _ in range(2))
        assert float((unnamed - second['sem_seg']).abs().max()) > 0.05
        assert unnamed.equal(again)

    def test_half_precision_is_the_plain_models(self, plain, inputs):
        class Noting(Recorder):
            def refine_batch(self, images, predictions, classes, *, keys=None):
                self.dtype = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
                return super().refine_batch(images, predictions, classes, keys=keys)

        refiner = Noting()
        with torch.autocast('cpu', torch.bfloat16):
            [output] = predict(wrapped(plain, refiner), inputs[:1])
        assert refiner.dtype == torch.float32
        assert output['sem_seg_coarse'].dtype == torch.bfloat16

    def test_mask2former_scores_are_sums(self):
        model = build_mask2former()
        model.semantic_on = True
        refiner = Recorder()
        refined = wrapped(model, refiner, dataset='')
        [output] = predict(refined, random_inputs(1, 32, 64))
        assert refined.score_type == 'sum'
        sums = output['sem_seg_coarse']
        assert float(sums.min()) >= 0
        torch.testing.assert_close(refiner.calls[0][1].probs, sums / sums.sum(0))
        # its own metadata, where no data set is named
        assert refiner.calls[0][2].labels == model.metadata.stuff_classes

    def test_without_a_refiner_or_in_training_nothing_changes(self, plain, inputs):
        before = predict(plain, inputs)
        after = predict(wrapped(plain, None, input_format='', score_type='nonsense'), inputs)
        assert all(
            a.keys() == b.keys() and a['sem_seg'].equal(b['sem_seg']) for a, b in zip(before, after, strict=True)
        )
        refiner = Recorder()
        model = wrapped(copy.deepcopy(plain), refiner).train()
        labelled = [{**item, 'sem_seg': torch.zeros(item['image'].shape[1:], dtype=torch.long)} for item in inputs]
        losses = model(labelled)
        assert losses.keys() == {'loss_sem_seg'}
        assert losses['loss_sem_seg'].equal(copy.deepcopy(plain).train()(labelled)['loss_sem_seg'])
        assert refiner.calls == []


def test_test_time_augmentation_is_refined_once(scenes, plain, inputs):
    """By Mask2Former's wrapper, new and so in training: the refined model's mode counts, or nothing was refined."""
    package, cfg = import_mask2former(), scenes.clone()
    cfg.TEST.AUG.merge_from_list(['MIN_SIZES', (40, 56), 'MAX_SIZE', 80, 'FLIP', True])
    refiner = Recorder()
    views = package.SemanticSegmentorWithTTA(cfg, plain)
    [merged] = predict(views, inputs[:1])
    [output] = predict(RefinedModel(plain, refiner, input_format='BGR', dataset=NAME).around(views), inputs[:1])
    assert len(refiner.calls) == 1
    assert output['sem_seg_coarse'].equal(merged['sem_seg'])
    assert not RefinedModel(torch.nn.Identity(), None).eval().around(torch.nn.Identity()).training
    assert RefinedModel(torch.nn.Identity(), None).training


def least_seconds(function, repeats):
    """Of one call, where the machine was least busy with others."""

    def once():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return min(once() for _ in range(repeats))


def test_without_a_refiner_the_wrapper_costs_nothing(plain, inputs):
    model = wrapped(plain, None)
    forward = least_seconds(lambda: predict(plain, inputs[:1]), 5)
    empty = torch.nn.Identity()
    model.model = empty
    added = least_seconds(lambda: predict(model, inputs), 200) - least_seconds(lambda: predict(empty, inputs), 200)
    print(f'\n{1e6 * added:.0f} us beside a forward of {1e3 * forward:.1f} ms')
    assert added < 0.01 * forward


class TestCheckpoints:
    def test_of_the_plain_model_in_both_directions(self, scenes, plain, tmp_path):
        model = wrapped(build_model(scenes), None)
        missing = DetectionCheckpointer(model).load(scenes.MODEL.WEIGHTS)
        assert missing == {}
        assert all(value.equal(plain.state_dict()[name]) for name, value in model.state_dict().items())
        DetectionCheckpointer(model, str(tmp_path)).save('saved')
        saved = torch.load(tmp_path / 'saved.pth')['model']
        assert list(saved) == list(plain.state_dict())
        assert saved._metadata == plain.state_dict()._metadata

    @pytest.mark.parametrize(('encoded', 'count'), [(('res3', 'res4', 'res5'), 202), (('res5',), 206)])
    def test_mask2former_loads_whole(self, tmp_path, encoded, count):
        """Heads migrate keys by version, which renamed keys would hide: weights stayed random, with a line in a log."""
        source, target = build_mask2former(encoded=encoded), build_mask2former(encoded=encoded)
        for weight in source.state_dict().values():
            weight.fill_(0.5)
        DetectionCheckpointer(source, str(tmp_path)).save('plain')
        model = wrapped(target, None)
        assert DetectionCheckpointer(model, str(tmp_path)).load(str(tmp_path / 'plain.pth')) == {}
        loaded = [name for name, weight in target.state_dict().items() if bool((weight == 0.5).all())]
        print(f'\n{len(loaded)} of {len(source.state_dict())} weights of {type(target).__name__} loaded')
        assert loaded == list(source.state_dict()) == list(model.state_dict())
        assert len(loaded) == count
        DetectionCheckpointer(model, str(tmp_path)).save('wrapped')
        saved, plain = (torch.load(tmp_path / f'{name}.pth')['model'] for name in ('wrapped', 'plain'))
        assert list(saved) == list(plain)
        assert saved._metadata == plain._metadata

    def test_an_old_mask2former_is_migrated(self):
        old = build_mask2former().state_dict()
        inside = 'sem_seg_head.pixel_decoder.'
        for name in [name for name in old if name.startswith(inside)]:
            old['sem_seg_head.' + name.removeprefix(inside)] = torch.full_like(old.pop(name), 0.5)
        old._metadata['sem_seg_head'] = {'version': 1}
        model = wrapped(build_mask2former(), None)
        assert model.load_state_dict(old, strict=False).missing_keys == []
        decoder = {n: w for n, w in model.state_dict().items() if n.startswith(inside)}
        assert len(decoder) > 50
        assert all(bool((weight == 0.5).all()) for weight in decoder.values())

    def test_it_answers_for_the_plain_model(self, plain):
        model = copy.deepcopy(wrapped(plain, Recorder()))
        assert model.sem_seg_head is model.model.sem_seg_head
        assert dict(model.named_buffers()).keys() == dict(plain.named_buffers()).keys()
        with pytest.raises(AttributeError, match='no_such_thing'):
            _ = model.no_such_thing


class TestConfig:
    def config(self, scenes, **node):
        cfg = scenes.clone()
        add_g4seg_config(cfg)
        cfg.MODEL.META_ARCHITECTURE = 'RefinedModel'
        options = {'META_ARCHITECTURE': 'SemanticSegmentor', 'REFINER': PAMR, **node}
        for name, value in options.items():
            cfg.MODEL.G4SEG[name] = value
        return cfg

    def test_default_predictor(self, scenes, plain, inputs):
        predictor = DefaultPredictor(
            self.config(
                scenes,
            )
        )
        assert META_ARCH_REGISTRY.get('RefinedModel') is type(predictor.model)
        picture = np.array(Image.open(inputs[0]['file_name']))[:, :, ::-1]
        output = predictor(picture)
        assert output['sem_seg'].shape == output['sem_seg_coarse'].shape == (len(CLASSES), *SIZE)
        assert predictor.model.score_type == 'logits'
        assert predictor.model.input_format == 'BGR'
        assert predictor.model.dataset == NAME

    @pytest.mark.parametrize(
        ('node', 'error', 'said'),
        [
            (dict(META_ARCHITECTURE='SemanticSegmentr'), ValueError, 'META_ARCHITECTURE: expected the name'),
            (dict(META_ARCHITECTURE='RefinedModel'), ValueError, 'META_ARCHITECTURE: expected the name'),
            (dict(REFINER='no/refiner.py'), FileNotFoundError, r'MODEL.G4SEG.REFINER \(no/refiner.py\): .* no such'),
            (dict(REFINER='tinny'), FileNotFoundError, r"MODEL.G4SEG.REFINER .*expected one of .*'tiny'"),
            (dict(SCORE_TYPE='logit'), ValueError, "MODEL.G4SEG.SCORE_TYPE: expected 'auto', .*got 'logit'"),
            (
                dict(SOFTEN=-0.1),
                ValueError,
                r"MODEL.G4SEG.SOFTEN: expected a share of the image's longer side, got -0.1",
            ),
            (dict(OUTPUTS=['semseg']), ValueError, r"MODEL.G4SEG.OUTPUTS: expected some of .*, got \['semseg'\]"),
        ],
    )
    def test_errors_name_the_key(self, scenes, node, error, said):
        with pytest.raises(error, match=said):
            build_model(self.config(scenes, **node))

    def test_an_input_format_that_holds_no_picture(self, scenes):
        cfg = self.config(scenes)
        cfg.INPUT.FORMAT = 'YUV-BT.601'
        with pytest.raises(ValueError, match=r"INPUT.FORMAT: .* \['BGR', 'RGB'\], got 'YUV-BT.601'"):
            build_model(cfg)


class TestErrors:
    def test_a_model_that_auto_does_not_know(self):
        with pytest.raises(ValueError, match=r"SCORE_TYPE: 'auto' knows .*not Identity: say what its sem_seg holds"):
            wrapped(torch.nn.Identity(), Recorder())
        assert wrapped(torch.nn.Identity(), Recorder(), score_type='softmax').score_type == 'softmax'

    def test_scores_of_another_type(self, plain, inputs):
        with pytest.raises(ValueError, match=r"MODEL.G4SEG.SCORE_TYPE: score_type='sum': .* did you mean 'logits'"):
            predict(wrapped(plain, Recorder(), score_type='sum'), inputs)

    def test_a_data_set_of_other_classes(self, plain, inputs):
        with pytest.raises(ValueError, match=r'scores 4 classes in sem_seg, but the data set has 19 .*DATASETS.TEST'):
            predict(wrapped(plain, Recorder(), dataset='cityscapes_fine_sem_seg_val'), inputs)

    def test_no_data_set(self, plain, inputs):
        with pytest.raises(ValueError, match=r'DATASETS.TEST: a refiner needs class names'):
            predict(wrapped(plain, Recorder(), dataset=''), inputs)

    def test_an_output_that_is_not_there(self, plain, inputs):
        with pytest.raises(ValueError, match=r"OUTPUTS: the model gives \['sem_seg'\], expected 'instances'"):
            predict(wrapped(plain, Recorder(), outputs=['instances']), inputs)

    @pytest.mark.parametrize('scale', [1 / 255, 4.0])
    def test_pixels_of_another_range(self, plain, inputs, scale):
        with pytest.raises(ValueError, match=r'0.png: a refiner needs the picture, 0 to 255'):
            predict(wrapped(plain, Recorder()), [{**inputs[0], 'image': inputs[0]['image'] * scale}])

    def test_no_room_on_the_gpu_is_not_tried_again(self, plain, inputs):
        class Large(Recorder):
            def refine_batch(self, images, predictions, classes, *, keys=None):
                self.calls.append(images)
                raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 9 GiB')

        refiner = Large()
        with pytest.raises(RuntimeError, match='the refiner has no room on the GPU: lower'):
            retry_if_cuda_oom(wrapped(plain, refiner))(inputs[:1])
        assert len(refiner.calls) == 1


class TestLazy:
    def test_interpolations_outlive_the_nesting(self):
        from detectron2.config import LazyCall, instantiate
        from omegaconf import OmegaConf

        config = OmegaConf.create({'width': 3}, flags={'allow_objects': True})
        config.model = LazyCall(torch.nn.Conv2d)(in_channels='${width}', out_channels='${.in_channels}', kernel_size=1)
        config.model = refined(config.model, refiner=None, dataset=NAME)
        model = instantiate(config.model)
        assert isinstance(model, RefinedModel)
        assert model.model.weight.shape == (3, 3, 1, 1)

    @pytest.mark.parametrize(
        ('file', 'dataset', 'tasks'),
        [('coco.py', 'coco_2017_val', 1), ('coco_panoptic_separated.py', 'coco_2017_val_panoptic_separated', 3)],
    )
    def test_evaluators_of_detectron2s_own_configs(self, file, dataset, tasks):
        """One, or a list. They name their data set by `${..test.dataset.names}`, which finds nothing inside a list."""
        from detectron2.config import LazyConfig
        from omegaconf import OmegaConf

        package = Path(find_spec('detectron2').origin).parent
        dataloader = LazyConfig.load(str(package / 'model_zoo/configs/common/data' / file)).dataloader
        dataloader.evaluator = measured(dataloader.evaluator, dataset=dataset, measures=['panoptic_seg'])
        nodes = OmegaConf.to_container(dataloader.evaluator, resolve=True)
        assert [node['dataset_name'] for node in nodes] == [dataset] * (1 + tasks)
        assert nodes[0]['_target_'] is RefinementEvaluator
        assert nodes[0]['measures'] == ['panoptic_seg']

    def test_a_refiner_as_dict(self, plain):
        from detectron2.config import LazyCall, instantiate

        node = refined(
            LazyCall(torch.nn.Identity)(), refiner=TINY, dataset=NAME, input_format='RGB', score_type='softmax'
        )
        assert instantiate(node).refiner.name == 'G4Seg'
