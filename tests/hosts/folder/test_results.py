"""The masks that a run leaves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.hosts.arrays import ImageRefiner
from mmseg_g4seg.hosts.folder import refine as folder_module
from mmseg_g4seg.hosts.folder.report import evaluate
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.io.formats import FORMATS, Reading
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.pamr import PAMRRefiner
from tests.hosts.folder.conftest import (
    CLASSES,
    PAMR,
    SIZE,
    contents,
    labels_of,
    make_task,
    random_pixels,
    random_prediction,
    write_pair,
)
from tests.hosts.folder.timeless import timeless


class TestResults:
    def test_each_mask_is_what_the_refiner_makes_of_it(self, tmp_path):
        task = make_task(tmp_path)
        report = refine_folder(task)
        assert sorted(contents(task.out)) == ['image_0.png', 'image_1.png', 'image_2.png', 'report.json', 'table.txt']
        refiner = ImageRefiner(PAMRRefiner(1, [1]))
        changed = 0
        for i in range(3):
            coarse = labels_of(task.masks / f'image_{i}.png')
            refined = labels_of(task.out / f'image_{i}.png')
            np.testing.assert_array_equal(refined, refiner(random_pixels(i), coarse, CLASSES.names))
            changed += int((refined != coarse).sum())
        assert changed > 0
        assert f'{100 * changed / (3 * SIZE[0] * SIZE[1]):.2f} % of their pixels changed' in report['summary']
        assert report['summary'] in (task.out / 'table.txt').read_text()

    @pytest.mark.parametrize('output', ['npz', 'irn', 'palette-png'])
    @pytest.mark.parametrize('given', FORMATS)
    def test_all_formats(self, tmp_path, given, output):
        classes = ClassList(['background', 'cat']) if given == 'binary-png' else CLASSES
        task = make_task(tmp_path, count=1, input_format=given, output_format=output, classes=classes)
        assert not refine_folder(task)['errors']
        mask = task.writer().read(next(task.out.glob('image_0.*')))
        expected = task.reader().read(next(task.masks.iterdir()))
        if expected.probs is not None and mask.probs is not None:
            prediction = Prediction(expected.probs, expected.probs.argmax(dim=0))
            image = torch.from_numpy(random_pixels(0)).permute(2, 0, 1) / 255
            refined = build_refiner(PAMR).refine(image, prediction, classes.names)
            torch.testing.assert_close(mask.probs, refined.probs, atol=2e-3, rtol=0)

    def test_more_classes_than_a_byte_holds(self, tmp_path):
        classes = ClassList([f'class {i}' for i in range(300)])
        labels = np.full(SIZE, 255, np.uint16)
        labels[:, 8:], labels[0] = 299, 65535
        for name in ('masks', 'labels'):
            (tmp_path / name).mkdir()
            Image.fromarray(labels).save(tmp_path / name / 'image_0.png')
        (tmp_path / 'images').mkdir()
        Image.fromarray(np.repeat(labels[..., None] % 200, 3, axis=2).astype(np.uint8)).save(
            tmp_path / 'images' / 'image_0.png'
        )
        task = make_task(
            tmp_path,
            count=0,
            classes=classes,
            truth=tmp_path / 'labels',
            refiner=dict(type='PAMRRefiner', iterations=1, dilations=[1]),
        )
        report = refine_folder(task)
        assert not report['errors']
        assert labels_of(task.out / 'image_0.png')[0].tolist() == [65535] * SIZE[1]
        rows = {line.split()[1]: line.split()[2:] for line in report['table'].splitlines()[1:3]}
        assert rows['255'][3:5] == rows['299'][3:5] == ['100.00', '100.00']

    def test_unlabelled_pixels_stay(self, tmp_path):
        task = make_task(tmp_path, count=1)
        labels = labels_of(task.masks / 'image_0.png')
        labels[4:6] = 255
        Image.fromarray(labels.astype(np.uint8)).save(task.masks / 'image_0.png')
        refine_folder(task)
        refined = labels_of(task.out / 'image_0.png')
        assert (refined[4:6] == 255).all()
        assert (np.delete(refined, [4, 5], axis=0) < 4).all()

    def object_task(self, root: Path):
        """Three masks of 0 and 255, which are their own truth."""
        task = make_task(root, classes=ClassList(['background', 'cat']))
        for i, path in enumerate(sorted(task.masks.iterdir())):
            mask = (random_prediction(i).label_map > 1).numpy()
            Image.fromarray(mask.astype(np.uint8) * 255).save(path)
        return replace(task, truth=task.masks)

    def test_one_object_in_255(self, tmp_path):
        """255 went for unlabelled: nothing was refined, and the IoU was 0 with exit code 0."""
        task = self.object_task(tmp_path)
        report = refine_folder(task)
        assert report['errors'] == []
        coarse = evaluate(report, ['background', 'cat']).means['coarse']
        assert coarse['mIoU'] == 100.0
        binary = replace(task, out=tmp_path / 'binary', reading=Reading('binary-png'), output_format='index-png')
        measured = evaluate(refine_folder(binary), ['background', 'cat']).means['coarse']
        assert measured['mIoU'] == 100.0
        for path in sorted(task.masks.iterdir()):
            refined = labels_of(task.out / path.name)
            np.testing.assert_array_equal(refined, labels_of(binary.out / path.name))
            assert 0 < (refined != labels_of(path) // 255).mean() < 0.5

    def test_with_a_1_in_any_mask_255_is_unlabelled(self, tmp_path):
        task = self.object_task(tmp_path)
        last = labels_of(task.masks / 'image_2.png')
        last[0] = 1
        Image.fromarray(last.astype(np.uint8)).save(task.masks / 'image_2.png')
        assert refine_folder(task)['errors'] == []
        for path in sorted(task.masks.iterdir()):
            np.testing.assert_array_equal(labels_of(task.out / path.name) == 255, labels_of(path) == 255)

    def test_one_object_of_four_classes(self, tmp_path):
        task = make_task(tmp_path)
        for path in task.masks.iterdir():
            Image.fromarray(np.eye(*SIZE, dtype=np.uint8) * 255).save(path)
        with pytest.raises(ValueError, match=rf'^masks: {task.masks}: .* below 4, .* two class names'):
            refine_folder(task)

    def test_images_of_every_suffix(self, tmp_path):
        suffixes = ['.jpg', '.JPEG', '.webp', '.bmp', '.tif', '.tiff', '.PNG']
        for i, suffix in enumerate(suffixes):
            write_pair(tmp_path, f'image_{i}', 'index-png', seed=i, suffix=suffix)
        report = refine_folder(make_task(tmp_path, count=0))
        assert not report['errors']
        assert len(report['images']) == len(suffixes)

    def test_images_and_masks_in_one_folder(self, tmp_path):
        task = make_task(tmp_path)
        for i in range(3):
            with Image.open(task.images / f'image_{i}.png') as image:
                image.save(tmp_path / 'masks' / f'image_{i}.bmp')
        expected = refine_folder(task)
        found = refine_folder(replace(task, images=task.masks, out=tmp_path / 'other'))
        assert [*map(timeless, found['images'])] == [*map(timeless, expected['images'])]
        assert contents(tmp_path / 'other')['image_0.png'] == contents(task.out)['image_0.png']
        (tmp_path / 'masks' / 'image_1.bmp').unlink()
        errors = refine_folder(replace(task, images=task.masks, out=tmp_path / 'third'))['errors']
        assert [error['error'] for error in errors] == ['no image of its name']

    def test_threads_of_torch_are_given_back(self, tmp_path, monkeypatch):
        before = torch.get_num_threads()
        seen = []

        class Refiner(PAMRRefiner):
            def refine_batch(self, *arguments, **options):
                seen.append(torch.get_num_threads())
                return super().refine_batch(*arguments, **options)

        monkeypatch.setattr(folder_module, 'build_refiner', lambda _: Refiner(1, [1]))
        refine_folder(make_task(tmp_path, threads=before + 1))
        assert seen == [before + 1] * 3
        assert torch.get_num_threads() == before
