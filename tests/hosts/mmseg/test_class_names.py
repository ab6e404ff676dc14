"""What a refiner is told of the classes: from the config, the checkpoint, the data set under test."""

import warnings

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import get_classes, get_palette

from mmseg_g4seg.hosts.mmseg.class_names import TESTED_DATASET, announce_dataset, find_classes
from mmseg_g4seg.hosts.mmseg.launch.run import evaluate
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.base import Refiner
from tests.hosts.mmseg.conftest import CLASSES, plain_config, refined

META = {'classes': ('wall', 'background', 'door'), 'palette': [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}
OTHER = {'classes': ('sky', 'sea', 'ship'), 'palette': [[0, 0, 1], [0, 0, 2], [0, 0, 3]]}


class RecordingRefiner(Refiner):
    """Remembers the classes that it was given."""

    def __init__(self, **class_options) -> None:
        self.class_options = class_options
        self.seen: list[ClassList] = []

    def refine_batch(self, images, predictions, classes, *, keys=None):
        self.seen.append(classes)
        return list(predictions)


def classes_of_a_run(config, checkpoint, evaluator: dict) -> ClassList:
    """As mmseg's own script runs a config: a Runner, and nothing of this package around it."""
    config = refined(config, None)
    config.test_evaluator, config.load_from = evaluator, checkpoint
    runner = Runner.from_cfg(config)
    runner.model.refiner = RecordingRefiner()
    runner.test()
    first, *others = runner.model.refiner.seen
    assert all(classes == first for classes in others)
    return first


@pytest.mark.parametrize('metric', ['IoUMetric', 'RefinementMetric'])
@pytest.mark.parametrize('visualizer', ['SegLocalVisualizer', 'RefinedSegVisualizer', None])
def test_of_the_data_set_under_test(data_root, tmp_path, checkpoint, metric, visualizer):
    """A plain IoUMetric announces nothing: the visualizer, of whatever class, has the metainfo."""
    config = plain_config(data_root, tmp_path)
    if visualizer is None:
        config.pop('visualizer')
        config.pop('default_hooks')
    else:
        config.visualizer.type = visualizer
    found = classes_of_a_run(config, checkpoint, dict(type=metric, iou_metrics=['mIoU']))
    assert list(found) == list(CLASSES)
    assert found.palette == [tuple(colour) for colour in config.test_dataloader.dataset.metainfo.palette]
    assert found.background is None


def test_of_the_latest_data_set(data_root, tmp_path, checkpoint):
    """Not of an earlier run in the same process."""
    for names in (CLASSES, CLASSES[::-1]):
        config = plain_config(data_root, tmp_path / names[0])
        config.test_dataloader.dataset.metainfo.classes = names
        config.visualizer.name = names[0]
        found = classes_of_a_run(config, checkpoint, dict(type='IoUMetric', iou_metrics=['mIoU']))
        assert list(found) == list(names)


def test_tools_test_announces_it_whatever_the_metric(data_root, tmp_path, checkpoint):
    """The visualizer has it in the first process alone: the others would have no names."""
    config = refined(plain_config(data_root, tmp_path), None)
    config.test_evaluator, config.load_from = dict(type='IoUMetric', iou_metrics=['mIoU']), checkpoint
    evaluate(config)
    assert MessageHub.get_current_instance().get_info(TESTED_DATASET)['classes'] == CLASSES


def find(names=None, dataset_meta=None, **options) -> ClassList:
    return find_classes(3, names=names, dataset_meta=dataset_meta, options=options)


class TestSources:
    def test_the_checkpoint_comes_before_the_data_set(self):
        announce_dataset(OTHER)
        assert find(dataset_meta=META) == ClassList(META['classes'], palette=META['palette'])
        assert find() == ClassList(OTHER['classes'], palette=OTHER['palette'])

    def test_the_config_comes_first(self):
        announce_dataset(OTHER)
        found = find(names=['a', ('b', 'bee'), 'c'], dataset_meta=META)
        assert list(found) == ['a', ('b', 'bee'), 'c']
        assert found.palette == ClassList(META['classes'], palette=META['palette']).palette

    def test_what_is_announced_comes_before_the_visualizer(self):
        Visualizer.get_instance('theirs').dataset_meta = META
        assert list(find()) == list(META['classes'])
        announce_dataset(OTHER)
        assert list(find()) == list(OTHER['classes'])

    def test_a_background_is_known_by_its_name(self):
        assert find(dataset_meta=META).background == 1

    def test_too_few_colours_are_none(self):
        assert find(dataset_meta={**META, 'palette': [[0, 0, 0]]}).palette is None

    def test_options_stand_over_all(self):
        options = dict(threshold=0.4, known=['door'], names=['a', 'b', 'c'])
        found = find_classes(3, names=None, dataset_meta=META, options=options)
        assert (list(found), found.background, found.threshold, found.known) == (['a', 'b', 'c'], 1, 0.4, ('door',))

    def test_names_that_mmseg_made_up(self):
        """What init_model puts on a model whose checkpoint has no names, by their number."""
        guess = dict(classes=get_classes('stare'), palette=get_palette('stare'))
        with pytest.warns(UserWarning, match=r"\['background', 'vessel'\] .* mmseg's names of stare, .*class_names"):
            find_classes(2, names=None, dataset_meta=guess, options={})
        guess = dict(classes=get_classes('cityscapes'), palette=get_palette('cityscapes'))
        with pytest.raises(ValueError, match=r"scores 3 classes, but 19 .* mmseg's names of cityscapes"):
            find(dataset_meta=guess)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            find_classes(19, names=None, dataset_meta={'classes': tuple(guess['classes'])}, options={})
            stare = get_classes('stare')
            find_classes(2, names=stare, dataset_meta={'classes': stare}, options={})

    def test_names_among_the_options_are_enough(self):
        assert list(find_classes(3, names=None, dataset_meta=None, options={'names': ['x', 'y', 'z']})) == [*'xyz']


class TestOptions:
    """Of the refiner's config, and of the model's, which stand over them."""

    @pytest.fixture
    def given(self, data_root, tmp_path):
        def call(classes, **of_refiner) -> ClassList:
            model = MODELS.build(refined(plain_config(data_root, tmp_path), None, classes=classes).model).eval()
            model.refiner = RecordingRefiner(**of_refiner)
            model.dataset_meta = {'classes': CLASSES}
            sample = SegDataSample(metainfo={'ori_shape': (32, 32), 'img_shape': (32, 32)})
            with torch.no_grad():
                model.predict(torch.zeros(1, 3, 32, 32), [sample])
            return model.refiner.seen[0]

        return call

    def test_of_the_refiner(self, given):
        found = given(None, background='grass', threshold=0.3)
        assert (found.background, found.threshold) == (2, 0.3)

    def test_of_the_model(self, given):
        found = given(dict(threshold=0.6), background='grass', threshold=0.3)
        assert (found.background, found.threshold) == (2, 0.6)

    def test_none_of_them(self, given):
        assert given(None) == ClassList(CLASSES)

    def test_one_that_does_not_exist(self, given):
        with pytest.raises(ValueError, match=r"classes: expected some of .*got 'treshold'"):
            given(dict(treshold=0.6))
