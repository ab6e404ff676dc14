"""What tools/test.py says to a mistake: the file or the setting, the remedy, and all of it before the first image."""

import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from PIL import Image

from tests.conftest import ROOT
from tests.hosts.mmseg.conftest import plain_config

BEFORE_THE_FIRST_IMAGE = 0


@pytest.fixture
def predicted(monkeypatch) -> list[str]:
    """The images that the model has seen."""
    names = []
    predict = EncoderDecoder.predict

    def recorded(self, inputs, data_samples=None):
        names.extend(Path(sample.img_path).name for sample in data_samples)
        return predict(self, inputs, data_samples)

    monkeypatch.setattr(EncoderDecoder, 'predict', recorded)
    return names


@pytest.fixture
def message(monkeypatch, tmp_path, predicted) -> Callable[..., str]:
    """Runs tools/test.py in this process; returns the text of the error that ends it."""

    def call(*arguments: object, error: type[Exception] = ValueError, images: int = BEFORE_THE_FIRST_IMAGE) -> str:
        monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, arguments), '--work-dir', str(tmp_path / 'work')])
        monkeypatch.setenv('LOCAL_RANK', '0')
        with pytest.raises(error) as caught:
            runpy.run_path(str(ROOT / 'tools/test.py'), run_name='__main__')
        assert len(predicted) == images
        return str(caught.value)

    return call


@pytest.fixture
def write_config(data_root, tmp_path):
    """Writes the plain config after a change of it or of its data set."""

    def call(change: Callable[[Config], object] | None = None, **dataset) -> Path:
        config = plain_config(data_root, tmp_path)
        config.test_dataloader.dataset.update(dataset)
        if change is not None:
            change(config)
        config.dump(tmp_path / 'config.py')
        return tmp_path / 'config.py'

    return call


@pytest.fixture
def refiner(tmp_path, refiner_config) -> list:
    Config(dict(refiner=refiner_config)).dump(tmp_path / 'refiner.py')
    return ['--refiner', tmp_path / 'refiner.py']


class TestFiles:
    """With mmseg's own data set class; those of this package are in test_datasets.py."""

    def test_missing_folder(self, write_config, checkpoint, refiner, message, tmp_path):
        config = write_config(data_root=str(tmp_path / 'nowhere'))
        said = message(config, checkpoint, *refiner, error=FileNotFoundError)
        assert f'{tmp_path}/nowhere/images is missing: expected the folder of images' in said
        assert f"put it there or set data_root, which is '{tmp_path}/nowhere'" in said

    def test_missing_label_folder(self, write_config, checkpoint, refiner, message, data_root):
        config = write_config(data_prefix=dict(img_path='images', seg_map_path='annotations'))
        said = message(config, checkpoint, *refiner, error=FileNotFoundError)
        assert f'{data_root}/annotations is missing: expected the folder of label files' in said

    def test_wrong_image_suffix(self, write_config, checkpoint, refiner, message, data_root):
        said = message(write_config(img_suffix='.jpg'), checkpoint, *refiner, error=FileNotFoundError)
        assert f"{data_root}/images has no image that ends in '.jpg' (img_suffix); it has 3 files in '.png'" in said

    def test_wrong_label_suffix(self, write_config, checkpoint, refiner, message, data_root):
        said = message(write_config(seg_map_suffix='_ids.png'), checkpoint, *refiner, error=FileNotFoundError)
        assert f'3 of 3 images have no label file in {data_root}/labels, {data_root}/labels/0_ids.png first' in said
        assert "set seg_map_suffix to '.png'" in said

    @pytest.mark.parametrize('with_refiner', [True, False])
    def test_one_label_file_is_missing(
        self, write_config, checkpoint, refiner, message, data_root, tmp_path, with_refiner
    ):
        """The last one, which mmseg would come to at the end of the run."""
        shutil.copytree(data_root / 'labels', tmp_path / 'labels')
        (tmp_path / 'labels/2.png').unlink()
        config = write_config(data_prefix=dict(img_path='images', seg_map_path=str(tmp_path / 'labels')))
        said = message(config, checkpoint, *(refiner if with_refiner else []), error=FileNotFoundError)
        assert f'1 of 3 images have no label file in {tmp_path}/labels, {tmp_path}/labels/2.png first' in said

    @pytest.mark.parametrize('augmented', [[], ['--tta']])
    @pytest.mark.parametrize('label_id', [77, 258])
    def test_a_label_id_out_of_range(
        self, write_config, checkpoint, refiner, message, data_root, tmp_path, label_id, augmented
    ):
        """In the second image: the run stops before it, and says where. In 8 bits 258 would be class 2."""
        (tmp_path / 'labels').mkdir()
        for path in sorted((data_root / 'labels').iterdir()):
            labels = np.array(Image.open(path)).astype(np.uint16)
            labels[5, 5] = label_id if path.stem == '1' else labels[5, 5]
            Image.fromarray(labels).save(tmp_path / 'labels' / path.name)
        prefix = dict(img_path=str(data_root / 'images'), seg_map_path=str(tmp_path / 'labels'))
        images = 4 if augmented else 1  # the first in all its views
        said = message(write_config(data_prefix=prefix), checkpoint, *refiner, *augmented, images=images)
        assert f'{tmp_path}/labels/1.png: label ids [{label_id}] do not belong; expected' in said
        assert "change the data set's label_ids or reduce_zero_label" in said
        assert 'g4seg check-dataset CONFIG' in said

    def test_the_config_itself(self, checkpoint, message, tmp_path):
        assert f'{tmp_path}/no.py' in message(tmp_path / 'no.py', checkpoint, error=FileNotFoundError)


class TestClassNames:
    @pytest.mark.parametrize('with_refiner', [True, False])
    def test_none(self, write_config, checkpoint, refiner, message, with_refiner):
        config = write_config(lambda c: c.test_dataloader.dataset.pop('metainfo'))
        said = message(config, checkpoint, *(refiner if with_refiner else []))
        assert 'the data set has no class names: expected metainfo=dict(classes=[...])' in said
        assert 'test_dataloader.dataset' in said

    def test_another_number(self, write_config, checkpoint, refiner, message):
        config = write_config(metainfo=dict(classes=('sky', 'sea'), palette=[[0, 0, 0], [1, 1, 1]]))
        said = message(config, checkpoint, *refiner)
        assert 'scores 5 classes (model.segmentor.decode_head.num_classes), but 2 class names are known' in said
        assert '(metainfo of test_dataloader.dataset: sky, sea ...)' in said


class TestCheckpoint:
    def test_of_another_model(self, write_config, checkpoint, refiner, message, tmp_path):
        content = torch.load(checkpoint)
        content['state_dict']['decode_head.conv_seg.weight'] = torch.zeros(7, 8, 1, 1)
        torch.save(content, tmp_path / 'other.pth')
        said = message(write_config(), tmp_path / 'other.pth', *refiner)
        assert f'{tmp_path}/other.pth: not a checkpoint of this model' in said
        assert 'decode_head.conv_seg.weight, expected (5, 8, 1, 1), found (7, 8, 1, 1)' in said
        assert 'Give the config that the checkpoint was trained with' in said

    def test_none(self, write_config, refiner, message):
        said = message(write_config(), *refiner)
        assert 'expected a checkpoint, got none: EncoderDecoder would be evaluated with random weights' in said

    def test_missing(self, write_config, refiner, message, tmp_path):
        said = message(write_config(), tmp_path / 'no.pth', *refiner, error=FileNotFoundError)
        assert f'{tmp_path}/no.pth: no such checkpoint' in said


class TestArguments:
    def test_tta_without_its_pipeline(self, write_config, checkpoint, refiner, message):
        said = message(write_config(lambda c: c.pop('tta_pipeline')), checkpoint, *refiner, '--tta')
        assert "--tta: expected 'tta_pipeline' in the config" in said
        assert 'leave --tta out' in said

    def test_out_without_a_metric(self, write_config, checkpoint, message):
        said = message(write_config(lambda c: c.pop('test_evaluator')), checkpoint, '--out', 'out')
        assert "expected test_evaluator=dict(type='RefinementMetric') in the config" in said

    def test_a_refiner_file_without_refiner(self, write_config, checkpoint, message, tmp_path):
        (tmp_path / 'empty.py').write_text('x = 1')
        said = message(write_config(), checkpoint, '--refiner', tmp_path / 'empty.py')
        assert f"{tmp_path}/empty.py: expected a line 'refiner = dict(type=..., ...)'" in said

    def test_a_missing_refiner_file(self, write_config, checkpoint, message, tmp_path):
        said = message(write_config(), checkpoint, '--refiner', tmp_path / 'no.py', error=FileNotFoundError)
        assert f'refiner: no such config file: {tmp_path}/no.py' in said

    @pytest.mark.parametrize(
        ('text', 'error', 'said'),
        [
            ("type='Crf'", ValueError, "refiner: there is no part 'Crf'.*'DenseCRFRefiner'"),
            (
                "type='G4SegRefiner', prior='tiny', update=dict(type='CorrespondenceUpdate', betta=0.5)",
                ValueError,
                "refiner.update: CorrespondenceUpdate has no option 'betta': did you mean 'beta'",
            ),
            ("type='G4SegRefiner', prior='nowhere'", FileNotFoundError, "prior 'nowhere': no such folder; expected"),
        ],
        ids=['type', 'parameter', 'prior'],
    )
    def test_a_refiner_that_cannot_be_built(self, write_config, checkpoint, message, tmp_path, text, error, said):
        (tmp_path / 'r.py').write_text(f'refiner = dict({text})')
        found = message(write_config(), checkpoint, '--refiner', tmp_path / 'r.py', error=error)
        assert re.search(said, found)

    def test_a_misspelt_option_of_the_refiner(self, write_config, checkpoint, refiner, message):
        said = message(write_config(), checkpoint, *refiner, '--cfg-options', 'model.refiner.imgae_size=64')
        assert "refiner: G4SegRefiner has no option 'imgae_size': did you mean 'image_size'?" in said


class TestScoreType:
    def test_not_what_the_scores_are(self, write_config, checkpoint, refiner, message):
        """Only the scores can tell: at the first image."""
        said = message(write_config(), checkpoint, *refiner, '--score-type', 'softmax', images=1)
        assert "score_type='softmax': expected scores in [0, 1], got" in said
        assert "did you mean 'logits'?" in said

    def test_one_that_does_not_exist(self, write_config, checkpoint, refiner, message):
        said = message(write_config(), checkpoint, *refiner, '--score-type', 'probs')
        assert "score_type: expected one of ('logits', 'softmax', 'sigmoid', 'sum'), got 'probs'" in said

    def test_in_the_config(self, write_config, checkpoint, refiner, message):
        options = ['--cfg-options', 'model.score_type=probs']
        assert "score_type: expected one of ('logits'" in message(write_config(), checkpoint, *refiner, *options)

    def test_of_a_model_that_nothing_refines(self, write_config, checkpoint, message):
        said = message(write_config(), checkpoint, '--score-type', 'softmax')
        assert '--score-type says what a refiner is given: expected --refiner FILE' in said
