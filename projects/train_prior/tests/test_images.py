"""Images with label maps or tags, as training takes them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from projects.demo.scenes.compose import CLASSES
from projects.train_prior.data import TrainingData, load_data, split_validation
from projects.train_prior.images import change_light, load_training_images


class TestImages:
    def load(self, scenes, **options):
        arguments = {'labels': scenes / 'labels/train', 'size': (32, 48), **options}
        return load_training_images(scenes / 'images/train', CLASSES, **arguments)

    def test_views(self, scenes):
        data = self.load(scenes, views=3)
        assert data.images.shape == (18, 3, 32, 48)
        assert data.label_maps.shape == (18, 32, 48)
        labels = np.array(Image.open(scenes / 'labels/train/00001.png'))
        assert set(data.present[3]) <= set(np.unique(labels).tolist())
        training, validation = split_validation(data, 3)
        assert len(training) == 15
        assert len(validation) == 1
        with pytest.raises(ValueError, match='two at least, one to hold out'):
            split_validation(data.subset([0, 1, 2]), 3)

    def test_no_image_is_trained_on_and_validated_on(self, scenes, tmp_path):
        copied = shutil.copytree(scenes / 'images/train', tmp_path / 'copied')
        for path in sorted(copied.iterdir())[2:]:
            Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
        labels = scenes / 'labels/train'
        folders = TrainingData(scenes / 'images/train', scenes / 'classes.txt', labels, None, copied, labels)
        with pytest.raises(ValueError, match='got 2 of 6 that are trained on'):
            load_data(folders, size=(32, 32), views=2)

    def test_light_changes_the_crops_alone(self, scenes):
        plain, lit = self.load(scenes, views=3), self.load(scenes, views=3, light=1.0)
        same = (plain.images == lit.images).flatten(1).all(dim=1)
        assert same[::3].all(), 'the whole views, which validation takes'
        assert not same[1::3].any()
        assert plain.images.shape == lit.images.shape
        pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
        assert np.array_equal(change_light(pixels, 0.0, np.random.default_rng(0)), pixels)
        means = [change_light(pixels, 1.0, np.random.default_rng(i)).mean() for i in range(100)]
        assert 40 < min(means) < 0.7 * pixels.mean()
        assert pixels.mean() < max(means) < 200
        assert np.mean(means) < pixels.mean()

    def test_tags(self, scenes, tmp_path):
        table = {f'{i:05d}': ['sky', 'fish'] for i in range(6)}
        (tmp_path / 'tags.json').write_text(json.dumps(table))
        data = self.load(scenes, labels=None, tags=tmp_path / 'tags.json')
        assert data.label_maps is None
        assert data.present[0] == [CLASSES.index('sky'), CLASSES.index('fish')]
        (tmp_path / 'tags.json').write_text(json.dumps({**table, '00003': ['whale']}))
        with pytest.raises(ValueError, match=r"00003\.png: \['whale'\]"):
            self.load(scenes, labels=None, tags=tmp_path / 'tags.json')
        (tmp_path / 'tags.json').write_text(json.dumps({'00000': ['sky']}))
        with pytest.raises(ValueError, match='no entry'):
            self.load(scenes, labels=None, tags=tmp_path / 'tags.json')

    def test_bad_folders(self, scenes, tmp_path):
        with pytest.raises(ValueError, match='found none'):
            load_training_images(tmp_path, CLASSES, size=(32, 32), labels=tmp_path)
        with pytest.raises(ValueError, match='both or neither'):
            self.load(scenes, labels=None)
        with pytest.raises(FileNotFoundError, match=r'00000\.png'):
            self.load(scenes, labels=tmp_path)
        Image.fromarray(np.full((64, 64), 77, np.uint8)).save(tmp_path / '00000.png')
        with pytest.raises(ValueError, match=r'got \[77\]'):
            self.load(scenes, labels=tmp_path)
