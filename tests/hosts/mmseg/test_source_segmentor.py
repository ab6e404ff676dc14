"""Zero-shot segmentation inside an mmseg run; C classes, H W image size."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

import mmseg_g4seg.diffusion.loading as loading
from mmseg_g4seg.cli.test import main
from mmseg_g4seg.coarse import CoarseSource, SeeDiff
from mmseg_g4seg.hosts.mmseg.launch.checkpoints import check_checkpoint
from mmseg_g4seg.hosts.mmseg.source_segmentor import SourceSegmentor
from mmseg_g4seg.prediction import ClassList, Prediction
from tests.clip_folder import write_clip_folder
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / 'configs/seediff').glob('*.py'))
NAMES = ['background', 'sky', 'tree', 'ball']
PREPROCESSOR = dict(type='SegDataPreProcessor', bgr_to_rgb=True)


class Uniform(CoarseSource):
    """Gives every class that it is told of the same score, and notes names and picture."""

    def __init__(self):
        self.asked = []

    def predict_batch(self, images, classes, *, keys=None):
        self.asked.append((list(classes), ClassList.of(classes).background, images[0], keys[0]))
        probs = [torch.full((len(classes), *i.shape[1:]), 1 / len(classes)) for i in images]
        return [Prediction(p, torch.full(p.shape[1:], len(classes) - 1)) for p in probs]


def sample(labels=None, path='images/a.jpg'):
    found = SegDataSample(metainfo=dict(img_path=path, ori_shape=(6, 8), img_shape=(6, 8)))
    if labels is not None:
        found.set_data({'gt_sem_seg': PixelData(data=torch.tensor(labels).expand(6, 8)[None])})
    return found


def segmentor(source, **options):
    return SourceSegmentor(source, 4, class_names=NAMES, data_preprocessor=PREPROCESSOR, **options)


def predict(model, *samples):
    inputs = torch.arange(3.0).view(1, 3, 1, 1).mul(50).expand(len(samples), 3, 6, 8)
    return model.predict(inputs, list(samples))


def test_half_precision_is_not_the_sources():
    """`TestLoop(fp16=True)`, of a config that a network had before."""

    class Noting(Uniform):
        def predict_batch(self, images, classes, *, keys=None):
            found.add((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
            return super().predict_batch(images, classes, keys=keys)

    found = set()
    with torch.autocast('cpu', torch.bfloat16):
        predict(segmentor(Noting()), sample())
    assert found == {torch.float32}


class TestClassesOfAnImage:
    def test_of_the_data_set(self):
        source = Uniform()
        (found,) = predict(segmentor(source), sample())
        assert source.asked[0][:2] == (NAMES, 0)
        assert found.seg_logits.data.shape == (4, 6, 8)
        assert found.pred_sem_seg.data.eq(3).all()

    def test_of_its_label(self):
        """A class that is not in the label has no score; 255 is no class, and the background is always asked about."""
        source = Uniform()
        (found,) = predict(segmentor(source, image_classes='label'), sample([2, 2, 2, 2, 255, 255, 2, 2]))
        assert source.asked[0][:2] == (['background', 'tree'], 0)
        assert found.seg_logits.data[:, 0, 0].tolist() == [0.5, 0, 0.5, 0]
        assert found.pred_sem_seg.data.eq(2).all(), "the index is the data set's"

    def test_found_by_clip(self, tmp_path):
        """The finder of a config, on CLIP's own loading and words: random weights name one class at least."""
        pytest.importorskip('open_clip')
        source, clip = Uniform(), f'local-dir:{write_clip_folder(tmp_path)}'
        finder = dict(type='CLIPClassFinder', model=clip, threshold=1.0)
        (found,) = predict(segmentor(source, image_classes=finder), sample())
        background, chosen = source.asked[0][0]
        assert (background, source.asked[0][1]) == ('background', 0)
        assert found.pred_sem_seg.data.eq(NAMES.index(chosen)).all()

    def test_background_alone(self):
        source = Uniform()
        (found,) = predict(segmentor(source, image_classes='label'), sample([0] * 8))
        assert source.asked[0][0] == ['background']
        assert found.pred_sem_seg.data.eq(0).all()

    def test_without_a_label(self):
        with pytest.raises(ValueError, match=r'images/a.jpg: image_classes=.label.*LoadAnnotations'):
            predict(segmentor(Uniform(), image_classes='label'), sample())

    def test_neither_class_nor_background(self):
        found = Uniform().predict_present(torch.rand(3, 6, 8), ['sky', 'tree'], [])
        assert found.probs.eq(0.5).all()
        with pytest.raises(ValueError, match='present: expected class indices below 2, got 2'):
            Uniform().predict_present(torch.rand(3, 6, 8), ['sky', 'tree'], [2])


def test_the_picture_and_its_key():
    source = Uniform()
    predict(segmentor(source), sample(), sample(path='b.png'))
    # channels come as BGR 0, 50, 100 and have been made RGB by the preprocessor in a run; here none has
    image = source.asked[0][2]
    torch.testing.assert_close(image[:, 0, 0], torch.tensor([0.0, 50, 100]) / 255)
    assert [asked[3] for asked in source.asked] == ['a.jpg', 'b.png']


def test_words_of_a_file(tmp_path):
    """They call the data set's classes otherwise: no word says `background`, and yet it is one."""
    file, source = tmp_path / 'words.txt', Uniform()
    file.write_text('wall, floor\nsky\ntree, bush\nball\n')
    model = SourceSegmentor(source, 4, class_names=str(file), data_preprocessor=PREPROCESSOR)
    model.dataset_meta = dict(classes=tuple(NAMES))
    predict(model, sample())
    assert source.asked[0][:2] == ([('wall', 'floor'), ('sky',), ('tree', 'bush'), ('ball',)], 0)
    file.write_text('wall, floor\nsky\n')
    short = SourceSegmentor(source, 4, class_names=str(file), data_preprocessor=PREPROCESSOR)
    short.dataset_meta = dict(classes=tuple(NAMES))
    with pytest.raises(ValueError, match='names: expected 4, one a class, got 2'):
        predict(short, sample())


class TestByTheNameOfItsSource:
    def test_a_config_names_the_source_and_gives_its_options(self):
        options = dict(num_classes=4, class_names=NAMES, data_preprocessor=PREPROCESSOR)
        built = MODELS.build(dict(type='SeeDiff', prior='tiny', image_size=32, **options))
        assert type(built) is SourceSegmentor
        nested = segmentor(dict(type='SeeDiff', prior='tiny', image_size=32))
        found, expected = (predict(model, sample())[0].seg_logits.data for model in (built, nested))
        assert torch.equal(found, expected)

    @pytest.mark.parametrize('method', ['SeeDiff', 'DiffSegmenter', 'DAAM'])
    def test_by_its_method(self, method):
        built = MODELS.build(dict(type='DiffusionSegmentor', method=method, num_classes=4, prior='tiny', seed=3))
        assert type(built) is SourceSegmentor
        assert type(built.source).__name__ == method
        assert (built.num_classes, built.source.seed) == (4, 3)

    def test_every_source_has_its_name_there(self):
        assert all(name in MODELS.module_dict for name in ('ClipSegmentor', 'GroupViTSegmentor', 'CLIPESSource'))

    @pytest.mark.parametrize(
        ('config', 'message'),
        [
            (dict(type='ClipSegmentor', method='sclipp'), r"method: expected one of \['clearclip', .*got 'sclipp'"),
            (dict(type='DiffusionSegmentor', method='sclip'), r"method: expected one of \['daam', .*got 'sclip'"),
            (dict(type='DiffusionSegmentor', method=['daam']), r"method: expected one of .*got \['daam'\]"),
            (dict(type='ClipSegmentor', logit_scal=65.0), "ClipSegmentor has no option 'logit_scal': did you mean"),
            (dict(type='GroupViTSegmentor', method='sclip'), "GroupViTSegmentor has no option 'method'"),
            (dict(type='SeeDiff', source=dict(prior='tiny')), "SeeDiff has no option 'source'"),
        ],
    )
    def test_a_misspelt_word_costs_no_loading(self, config, message):
        with pytest.raises(ValueError, match=message):
            MODELS.build(dict(num_classes=4, **config))


class TestCheckpoint:
    def test_has_none(self):
        model = MODELS.build(dict(type='SeeDiff', num_classes=4, prior='tiny'))
        assert model.state_dict() == {}
        check_checkpoint(model, None)

    def test_takes_none(self, tmp_path):
        torch.save({'state_dict': {'decode_head.weight': torch.zeros(1)}}, tmp_path / 'a.pth')
        with pytest.raises(ValueError, match='1 belong to layers that the model has not'):
            check_checkpoint(segmentor(Uniform()), str(tmp_path / 'a.pth'))


class TestPrior:
    @pytest.fixture
    def loads(self, monkeypatch):
        counted, inner = [], loading._load

        def count(folder, *args):
            counted.append(folder)
            return inner(folder, *args)

        monkeypatch.setattr(loading, '_load', count)
        return counted

    def build(self, **prior):
        segmentor = dict(type='DAAM', num_classes=4, prior='tiny')
        refiner = dict(type='G4SegRefiner', prior=dict(source='tiny', **prior), image_size=64)
        return MODELS.build(dict(type='RefinedSegmentor', segmentor=segmentor, refiner=refiner, score_type='softmax'))

    def test_is_shared_with_the_refiner(self, loads):
        model = self.build()
        assert len(loads) == 1
        assert model.segmentor.source.prior is model.refiner.prior

    def test_of_another_precision_is_another(self, loads):
        self.build(dtype='bfloat16')
        assert len(loads) == 2


class TestExceptions:
    def test_probabilities_taken_for_logits(self):
        """What `--refiner` over a plain config made of it."""
        wrapped = dict(type='RefinedSegmentor', segmentor=segmentor(Uniform()), refiner=dict(type='PAMRRefiner'))
        with pytest.raises(ValueError, match=r"expected 'softmax', which SourceSegmentor gives, got 'logits'; --score"):
            MODELS.build(wrapped)
        assert MODELS.build({**wrapped, 'score_type': 'softmax'}).score_type == 'softmax'

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (dict(source='seedif'), r"method: expected one of \[.*'daam', 'diffsegmenter', .*'seediff'.*got 'seedif'"),
            (dict(image_classes='labels'), "image_classes: expected 'dataset', 'label' or a ClassFinder"),
            (dict(image_classes=dict(type='CLIPClassFindr')), "no part 'CLIPClassFindr': did you mean"),
            (dict(source=dict(type='SeeDiff', prior='tiny', level=[2])), "no option 'level': did you mean 'levels'"),
            (
                dict(source=dict(type='SeeDiff', prior='tiny', levels=[1])),
                r'self-attention at \[4, 2\] latent cells a token, got 1',
            ),
            (dict(source='seediff'), "expected the option 'prior', which is missing"),
        ],
    )
    def test_before_any_image(self, options, message):
        with pytest.raises(ValueError, match=message):
            SourceSegmentor(**{'source': dict(type='SeeDiff', prior='tiny'), 'num_classes': 4, **options})

    def test_has_no_features_and_no_losses(self):
        for call in (segmentor(Uniform()).extract_feat, lambda x: segmentor(Uniform()).loss(x, [])):
            with pytest.raises(TypeError, match='SourceSegmentor'):
                call(torch.zeros(1, 3, 6, 8))


class TestConfigs:
    def test_zero_shot_and_its_refinement_in_one_table(self, tmp_path, monkeypatch):
        """Without a checkpoint; and the coarse masks are the source's own."""
        monkeypatch.setenv('LOCAL_RANK', '0')
        scene = Image.open(ROOT / 'tests/diffusion/scene.png').resize((64, 64))
        stripes = Image.fromarray(np.arange(64, dtype=np.uint8)[:, None].repeat(64, axis=1) // 16)
        for picture, kind in ((scene, 'images'), (stripes, 'labels')):
            folder = tmp_path / 'data' / kind / 'val'
            folder.mkdir(parents=True)
            picture.save(folder / '00000.png')
        options = {'test_dataloader.dataset.data_root': tmp_path / 'data', 'log_level': 'WARNING'}
        options |= {'model.refiner.image_size': 64, 'model.segmentor.image_size': 64}
        given = [f'{name}={value}' for name, value in options.items()]
        config = ROOT / 'configs/seediff/seediff_tiny_scenes_g4seg.py'
        assert main([str(config), '--work-dir', str(tmp_path / 'work'), '--cfg-options', *given]) == 0
        report = json.loads((tmp_path / 'work/metrics.json').read_text())
        assert report['coarse']['mIoU'] != report['refined']['mIoU']

    @pytest.mark.parametrize('path', [p for p in CONFIGS if '_tiny_' not in p.stem], ids=lambda p: p.stem)
    def test_builds(self, path):
        """With the embedded prior in place of Stable Diffusion, and without CLIP's weights."""
        config = Config.fromfile(path)
        # mmengine refuses a loader of validation without a loop, as VOC's base has it
        assert {'val_cfg', 'test_cfg'} <= set(config)
        model = config.model
        chain = model.type == 'RefinedSegmentor'
        options = {'prior': 'tiny', 'image_classes': 'label'}
        if chain:
            model.refiner.prior = dict(source='tiny')
            model.refiner['update'].features = dict(type='DenoiserFeatures', timestep=100)
        (model.segmentor if chain else model).update(options)
        built = MODELS.build(model)
        assert type(built.segmentor if chain else built) is SourceSegmentor
        assert built.source.prior is (built.refiner.prior if chain else built.source.prior)
        assert type(built.source).__name__.lower() == path.stem.split('_')[0]


def test_seediff_is_what_an_array_gets():
    """The host adds nothing: its masks are those of the source on the picture."""
    model = segmentor(dict(type='SeeDiff', prior='tiny', image_size=32))
    (found,) = predict(model, sample())
    image = (torch.tensor([0.0, 50, 100]) / 255).view(3, 1, 1).expand(3, 6, 8)
    alone = SeeDiff('tiny', image_size=32).predict(image, NAMES, key='a.jpg')
    assert torch.equal(found.seg_logits.data, alone.probs)
