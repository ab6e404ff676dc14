import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.hosts.arrays import ImageRefiner
from mmseg_g4seg.hosts.folder import refine as folder_module
from mmseg_g4seg.hosts.folder.refine import BadFile
from mmseg_g4seg.hosts.folder.report import evaluate, make_table
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.io.formats import FORMATS, Reading
from mmseg_g4seg.ops.boundary import boundary_areas
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.pamr import PAMRRefiner
from tests.hosts.folder.conftest import (
    CLASSES,
    PAMR,
    SIZE,
    contents,
    make_task,
    random_pixels,
    random_prediction,
    write_pair,
)
from tests.hosts.folder.timeless import timeless
from tests.io.pictures import save_turned, write_rgb16


def labels_of(path: Path) -> np.ndarray:
    return np.array(Image.open(path)).astype(np.int64)


def write_labels(folder: Path, count: int = 3) -> list[np.ndarray]:
    """A truth that is not quite the mask, with ignored pixels."""
    folder.mkdir()
    truth = []
    for i in range(count):
        labels = random_prediction(i).label_map.numpy().astype(np.uint8)
        labels[:3] = np.roll(labels[:3], 2, axis=1)
        labels[-1] = 255
        Image.fromarray(labels).save(folder / f'image_{i}.png')
        truth.append(labels)
    return truth


def iou_by_hand(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    predicted, truth = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
    predicted, truth = predicted[truth != 255], truth[truth != 255]
    return [
        100 * ((predicted == c) & (truth == c)).sum() / ((predicted == c) | (truth == c)).sum()
        for c in range(len(CLASSES))
    ]


def read_report(out: Path) -> dict:
    return json.loads((out / 'report.json').read_text())


def never(*_: object, **__: object) -> None:
    raise AssertionError('the refiner was built')


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

    def test_table_and_report_by_hand(self, tmp_path):
        truth = write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels')
        refine_folder(task)
        coarse = [labels_of(task.masks / f'image_{i}.png') for i in range(3)]
        refined = [labels_of(task.out / f'image_{i}.png') for i in range(3)]
        before, after = (iou_by_hand(list(zip(side, truth, strict=True))) for side in (coarse, refined))
        rows = [line.split() for line in (task.out / 'table.txt').read_text().splitlines()]
        for c, name in enumerate(CLASSES.names):
            counts = [sum(int((labels == c).sum()) for labels in side) for side in (coarse, refined)]
            assert rows[c + 1] == [
                name,
                *map(str, counts),
                f'{100 * (counts[1] / counts[0] - 1):+.2f}',
                f'{before[c]:.2f}',
                f'{after[c]:.2f}',
                f'{after[c] - before[c]:+.2f}',
            ]
        mean = [np.mean(before), np.mean(after)]
        assert rows[5][-3:] == [f'{mean[0]:.2f}', f'{mean[1]:.2f}', f'{mean[1] - mean[0]:+.2f}']
        report = read_report(task.out)
        assert [record['name'] for record in report['images']] == ['image_0', 'image_1', 'image_2']
        for record, labels, old in zip(report['images'], refined, coarse, strict=True):
            assert record['pixels'] == labels.size
            assert record['changed'] == (labels != old).sum()
            for stage, side in (('coarse', old), ('refined', labels)):
                pixels = dict(zip(record['classes'], record['class_pixels'][stage], strict=True))
                assert [pixels.get(c, 0) for c in range(4)] == np.bincount(side.ravel(), minlength=4).tolist()

    def test_gain_and_boundaries_by_hand(self, tmp_path):
        """Of each image and of all, as the evaluation of mmseg says it, too."""
        truth = write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels')
        table = refine_folder(task)['table']
        masks = [
            [labels_of(folder / f'image_{i}.png') for i in range(3)] for folder in (task.masks, task.out)
        ]  # before, after
        per_image = [[np.nanmean(iou_by_hand([pair])) for pair in zip(side, truth, strict=True)] for side in masks]
        changes = [after - before for before, after in zip(*per_image, strict=True)]
        better, worse = (sum(sign * change > 0 for change in changes) for sign in (1, -1))
        assert better + worse > 0
        assert f'3 images: {better} better, {worse} worse, {3 - better - worse} the same' in table
        means = [np.mean(iou_by_hand(list(zip(side, truth, strict=True)))) for side in masks]
        assert f'mIoU gain {means[1] - means[0]:+.2f}, 95 % interval over images [' in table
        borders = []
        for side in masks:
            pairs = zip(map(torch.from_numpy, side), map(torch.from_numpy, truth), strict=True)
            inside, predicted, labelled = sum(boundary_areas(a, b.long(), 4) for a, b in pairs).double()
            borders.append(float((inside / (predicted + labelled - inside)).mean() * 100))
        (row,) = (line.strip('|').split('|') for line in table.splitlines() if line.startswith('| mBIoU'))
        assert [cell.strip() for cell in row[1:]] == [*(f'{b:.2f}' for b in borders), f'{borders[1] - borders[0]:+.2f}']
        assert f'mBIoU gain {borders[1] - borders[0]:+.2f}, 95 % interval over images [' in table
        assert 'gain' not in refine_folder(replace(task, truth=None, out=tmp_path / 'other'))['table']

    def test_the_stages_of_a_chain(self, tmp_path):
        """As mmseg's report has them: the first refiner's masks are those of a run of it alone."""
        write_labels(tmp_path / 'labels')
        truth = {'truth': tmp_path / 'labels'}
        alone = refine_folder(make_task(tmp_path, **truth))
        chain = dict(type='SequentialRefiner', refiners=[PAMR, PAMR])
        both = refine_folder(make_task(tmp_path, refiner=chain, out=tmp_path / 'both', **truth))
        for first, record in zip(alone['images'], both['images'], strict=True):
            assert record['stages'] == ['coarse', 'PAMR', 'refined']
            assert record['areas']['PAMR'] == first['areas']['refined']
            assert record['areas']['refined'] != first['areas']['refined']
            assert record['seconds'].keys() == {'PAMR', 'PAMR #2'}
        assert re.search(r'^\| mean +\| +coarse \| +PAMR \| +refined \|', both['table'], re.MULTILINE)
        seconds = r'^seconds per image: [\d.]+ refiner \([\d.]+ PAMR, [\d.]+ PAMR #2\)$'
        assert re.search(seconds, both['table'], re.MULTILINE)

    def test_records_of_an_earlier_version_are_refused(self, tmp_path):
        task = make_task(tmp_path)
        report = refine_folder(task)
        old = [{'name': image['name'], 'pixels': 1, 'changed': 0, 'before': [1]} for image in report['images']]
        with pytest.raises(ValueError, match='not of this version; start the run anew'):
            make_table({**report, 'images': old}, CLASSES.names)

    def test_page_with_the_pictures_of_its_files(self, tmp_path):
        write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels', input_format='npz')
        refine_folder(task, workers=1)
        assert {'metrics.json', 'report.html', 'report_data.json'} <= set(contents(task.out))
        images = json.loads((task.out / 'metrics.json').read_text())['images']
        data = json.loads((task.out / 'report_data.json').read_text())
        changed = {image['name']: image for image in images if image['coarse'] != image['refined']}
        assert changed.keys() == {picture['name'] for picture in data['pictures']} != set()
        for picture in data['pictures']:
            assert picture['after'] == pytest.approx(changed[picture['name']]['refined'])
            assert picture['photo']
        assert 'PAMRRefiner' in data['notes']['settings']['Settings']

    def test_masks_for_fiftyone(self, tmp_path):
        truth = write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels', fiftyone=tmp_path / 'fiftyone')
        refine_folder(task)
        images = json.loads((tmp_path / 'fiftyone/data.json').read_text())
        assert images == {f'image_{i}': str(task.images / f'image_{i}.png') for i in range(3)}
        for i, labels in enumerate(truth):
            values = {field: labels_of(tmp_path / f'fiftyone/{field}/image_{i}.png') for field in ('refined', 'truth')}
            assert (values['refined'] == labels_of(task.out / f'image_{i}.png') + 1).all()
            assert (values['truth'] == np.where(labels == 255, 0, labels.astype(int) + 1)).all()
        with pytest.raises(ValueError, match='fiftyone: expected labels'):
            replace(task, truth=None)

    def test_page_without_the_picture_of_a_file_that_is_gone(self, tmp_path):
        write_labels(tmp_path / 'labels')
        task = make_task(tmp_path, truth=tmp_path / 'labels')
        refine_folder(task)
        (task.images / 'image_0.png').unlink()
        refine_folder(task)
        drawn = json.loads((task.out / 'report_data.json').read_text())['pictures']
        assert {picture['name'] for picture in drawn} == {'image_1', 'image_2'}

    def test_a_class_of_the_truth_alone_has_its_row(self, tmp_path):
        write_labels(tmp_path / 'labels', 1)
        task = make_task(tmp_path, count=1, truth=tmp_path / 'labels', classes=ClassList([*CLASSES, 'fish']))
        truth = labels_of(tmp_path / 'labels' / 'image_0.png')
        truth[5, 5] = 4
        Image.fromarray(truth.astype(np.uint8)).save(tmp_path / 'labels' / 'image_0.png')
        table = refine_folder(task)['table'].splitlines()
        assert table[5].split() == ['fish', '0', '0', '-', '0.00', '0.00', '+0.00']
        assert 'fish' not in refine_folder(replace(task, truth=None, out=tmp_path / 'other'))['table']

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


class TestResume:
    def test_finished_work_is_not_done_again(self, tmp_path, monkeypatch):
        task = make_task(tmp_path)
        refine_folder(task)
        before, times = contents(task.out), {p: p.stat().st_mtime_ns for p in task.out.glob('*.png')}
        monkeypatch.setattr(folder_module, 'build_refiner', never)
        report = refine_folder(task)
        assert len(report['images']) == 3
        assert contents(task.out) == before
        assert {p: p.stat().st_mtime_ns for p in task.out.glob('*.png')} == times

    def test_only_what_is_new_or_gone_is_done(self, tmp_path):
        task = make_task(tmp_path)
        refine_folder(task)
        undisturbed = contents(task.out)
        kept = (task.out / 'image_0.png').stat().st_mtime_ns
        (task.out / 'image_1.png').unlink()
        write_pair(tmp_path, 'image_3', 'index-png', seed=3)
        report = refine_folder(task)
        assert [record['name'] for record in report['images']] == [f'image_{i}' for i in range(4)]
        assert (task.out / 'image_0.png').stat().st_mtime_ns == kept
        assert contents(task.out)['image_1.png'] == undisturbed['image_1.png']

    def test_errors_are_tried_again(self, tmp_path):
        task = make_task(tmp_path)
        good = (task.masks / 'image_1.png').read_bytes()
        (task.masks / 'image_1.png').write_bytes(good[:50])
        assert [error['name'] for error in refine_folder(task)['errors']] == ['image_1']
        assert not (task.out / 'image_1.png').exists()
        (task.masks / 'image_1.png').write_bytes(good)
        mended = refine_folder(task)
        assert not mended['errors']
        assert contents(task.out) == contents_of_a_fresh_run(task, tmp_path / 'fresh')

    @pytest.mark.parametrize(
        ('name', 'change'),
        [
            ('soften', dict(reading=Reading('index-png', soften=0.02))),
            ('refiner', dict(refiner={**PAMR, 'iterations': 2})),
            ('classes', dict(classes=ClassList(['background', 'a', 'b', 'c']))),
            ('formats', dict(output_format='palette-png')),
            ('masks', dict(masks='other')),
            ('truth', dict(truth='other')),
        ],
    )
    def test_other_settings(self, tmp_path, name, change):
        task = make_task(tmp_path)
        make_task(tmp_path / 'other_root')
        change = {k: tmp_path / 'other_root' / 'masks' if v == 'other' else v for k, v in change.items()}
        refine_folder(task)
        before = contents(task.out)
        with pytest.raises(FileExistsError, match=rf'other settings \(.*{name}.*--overwrite'):
            refine_folder(replace(task, **change))
        assert contents(task.out) == before
        report = refine_folder(replace(task, **change), overwrite=True)
        assert len(report['images']) == 3
        assert contents(task.out) == contents_of_a_fresh_run(replace(task, **change), tmp_path / 'fresh')

    def test_the_same_settings_in_another_order(self, tmp_path, monkeypatch):
        task = make_task(tmp_path)
        refine_folder(task)
        monkeypatch.setattr(folder_module, 'build_refiner', never)
        turned = {**dict(reversed(PAMR.items())), 'dilations': (1,)}
        assert len(refine_folder(replace(task, refiner=turned, device='cuda', threads=2))['images']) == 3

    def test_overwrite_starts_anew(self, tmp_path):
        task = make_task(tmp_path)
        refine_folder(task)
        before = contents(task.out)
        (task.out / 'image_0.png').write_bytes(b'damaged')
        refine_folder(task)
        assert contents(task.out)['image_0.png'] == b'damaged'
        refine_folder(task, overwrite=True)
        assert contents(task.out) == before

    @pytest.mark.parametrize('name', ['image_1.png', 'report.json'])
    def test_foreign_files(self, tmp_path, name):
        task = make_task(tmp_path)
        task.out.mkdir()
        (task.out / name).write_text('{}')
        with pytest.raises(FileExistsError, match='--overwrite'):
            refine_folder(task)
        assert contents(task.out) == {name: b'{}'}
        refine_folder(task, overwrite=True)
        assert contents(task.out) == contents_of_a_fresh_run(task, tmp_path / 'fresh')

    def test_other_files_are_left_alone(self, tmp_path):
        task = make_task(tmp_path)
        task.out.mkdir()
        (task.out / 'notes.txt').write_text('mine')
        refine_folder(task, overwrite=True)
        assert (task.out / 'notes.txt').read_text() == 'mine'


def contents_of_a_fresh_run(task, out: Path) -> dict[str, bytes]:
    refine_folder(replace(task, out=out))
    return contents(out)


class TestErrors:
    def test_what_does_not_pair_up(self, tmp_path):
        task = make_task(tmp_path)
        write_pair(tmp_path, 'ambiguous', 'index-png')
        write_pair(tmp_path, 'ambiguous', 'index-png', suffix='.jpg')
        (write_pair(tmp_path, 'lonely_mask', 'index-png')[0]).unlink()
        (write_pair(tmp_path, 'lonely_image', 'index-png')[1]).unlink()
        twin = write_pair(tmp_path, 'twin', 'index-png')[1]
        (task.masks / 'twin.PNG').write_bytes(twin.read_bytes())
        (task.masks / 'notes.txt').write_text('mine')
        report = refine_folder(task)
        assert len(report['images']) == 3
        errors = {error['path']: error['error'] for error in report['errors']}
        assert errors == {
            str(task.masks / 'ambiguous.png'): 'several images of its name: ambiguous.jpg, ambiguous.png',
            str(task.masks / 'lonely_mask.png'): 'no image of its name',
            str(task.masks / 'twin.PNG'): 'several masks of its name: twin.PNG, twin.png',
        }
        assert report['images_without_mask'] == ['lonely_image']
        assert report['ignored_files'] == ['notes.txt']
        for text in ('1 files of another suffix', '1 images without a mask', *errors):
            assert text in report['table']

    def test_masks_in_folders_are_counted_and_the_tool_fails(self, tmp_path, tool, config, capsys):
        """They were left aside as "files of another suffix", with exit code 0."""
        task = make_task(tmp_path, count=1)
        for name in ('b/deep', 'a'):
            (task.masks / name).mkdir(parents=True)
            (task.masks / name / 'image_0.png').write_bytes((task.masks / 'image_0.png').read_bytes())
        (task.masks / 'empty').mkdir()
        options = ['--classes', ','.join(CLASSES), '--format', 'index-png', '--refiner', config]
        # results in a folder of the masks are none of them
        for _ in range(2):
            assert tool(task.images, task.masks, task.masks / 'refined', *options) == 1
        said = capsys.readouterr().out
        assert '2 masks in folders left out, such as a/image_0.png: refine each folder by itself' in said
        assert 'another suffix' not in said
        assert read_report(task.masks / 'refined')['nested_masks'] == ['a/image_0.png', 'b/deep/image_0.png']
        (task.masks / 'image_0.png').unlink()
        with pytest.raises(ValueError, match=r'found none; folders in it have 2, such as a/image_0\.png'):
            refine_folder(replace(task, out=task.masks / 'refined'))

    @pytest.mark.parametrize('suffix', ['.jfif', '.gif'])
    def test_images_of_another_suffix_are_named(self, tmp_path, suffix):
        task = make_task(tmp_path, count=1)
        (task.images / 'image_0.png').rename(task.images / f'image_0{suffix}')
        (error,) = refine_folder(task)['errors']
        assert error['error'].endswith(f'.tif, .tiff; there is image_0{suffix}: save it as one of these')

    @pytest.mark.parametrize('any_size', [False, True])
    def test_masks_of_the_stored_frame(self, tmp_path, any_size):
        """They lay across the picture; where any size is taken they were stretched, without a word."""
        task = make_task(tmp_path, count=2, input_format='npz', reading=Reading('npz', any_size=any_size))
        save_turned(task.images / 'image_0.png', random_pixels(), 6)
        report = refine_folder(task)
        assert len(report['images']) == 1
        (error,) = report['errors']
        assert error['path'] == str(task.masks / 'image_0.npz')
        assert 'expected a mask of 32 x 24, got 24 x 32' in error['error']
        assert 'EXIF orientation 6' in error['error']

    def test_a_truth_of_the_stored_frame(self, tmp_path):
        task = make_task(tmp_path, count=1)
        save_turned(task.images / 'image_0.png', np.rot90(random_pixels()), 6)
        truth = tmp_path / 'truth'
        truth.mkdir()
        Image.fromarray(np.eye(32, 24, dtype=np.uint8)).save(truth / 'image_0.png')
        (error,) = refine_folder(replace(task, truth=truth))['errors']
        assert error['path'] == str(truth / 'image_0.png')
        assert 'EXIF orientation 6' in error['error']

    def test_sixteen_bits_of_colour(self, tmp_path):
        task = make_task(tmp_path, count=1)
        write_rgb16(task.images / 'image_0.png', random_pixels().astype(np.uint16) * 16)
        (error,) = refine_folder(task)['errors']
        assert 'expected an image of 8 bits a channel, got 16 bits' in error['error']

    @pytest.mark.parametrize('workers', [1, 2])
    def test_more_pixels_than_pillow_opens(self, tmp_path, monkeypatch, workers):
        limit = SIZE[0] * SIZE[1] // 2 - 1  # of which Pillow bears twice as much
        task = make_task(tmp_path, count=1)
        task = replace(task, truth=task.masks)
        (expected,) = refine_folder(task)['images']
        monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', limit)
        if workers == 1:  # other processes have Pillow's own limit
            (error,) = refine_folder(replace(task, out=tmp_path / 'refused'))['errors']
            assert error['path'] == str(task.images / 'image_0.png')
            assert '(768 pixels) exceeds limit of 766' in error['error']
            assert '--megapixels' in error['error']
        allowed = replace(task, out=tmp_path / 'allowed', megapixels=0.000768)
        report = refine_folder(allowed, workers=workers)
        assert report['errors'] == []
        assert timeless(report['images'][0]) == timeless(expected)
        assert limit == Image.MAX_IMAGE_PIXELS
        (error,) = refine_folder(replace(task, out=tmp_path / 'fewer', megapixels=0.000766), workers=workers)['errors']
        assert 'exceeds limit of 766' in error['error']

    def test_labels_that_miss_or_do_not_fit(self, tmp_path):
        write_labels(tmp_path / 'labels')
        (tmp_path / 'labels' / 'image_0.png').unlink()
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / 'labels' / 'image_1.png')
        report = refine_folder(make_task(tmp_path, truth=tmp_path / 'labels'))
        assert [error['path'] for error in report['errors']] == [
            str(tmp_path / 'labels' / f'image_{i}.png') for i in (0, 1)
        ]

    def test_strict_stops_at_once(self, tmp_path):
        task = make_task(tmp_path)
        (task.masks / 'image_1.png').write_text('text')
        with pytest.raises(BadFile, match=r'image_1\.png: .*cannot identify'):
            refine_folder(task, strict=True)
        assert [p.name for p in task.out.glob('*.png')] == ['image_0.png']
        assert len(refine_folder(task)['errors']) == 1

    @pytest.mark.parametrize('name', ['images', 'masks', 'truth'])
    def test_missing_folders(self, tmp_path, name):
        task = make_task(tmp_path)
        with pytest.raises(FileNotFoundError, match=f'{name}: no such folder'):
            replace(task, **{name: tmp_path / 'nowhere'})

    @pytest.mark.parametrize('name', ['images', 'masks'])
    def test_out_is_a_folder_of_its_own(self, tmp_path, name):
        task = make_task(tmp_path)
        with pytest.raises(ValueError, match='folder of its own'):
            replace(task, out=tmp_path / 'out' / '..' / name)

    def test_no_masks(self, tmp_path):
        with pytest.raises(ValueError, match=r'expected masks \(\.npz\)'):
            refine_folder(replace(make_task(tmp_path), reading=Reading('npz')))
        assert not (tmp_path / 'out').exists()

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (dict(threads=0), 'threads'),
            (dict(reading=Reading('gif')), 'format'),
            (dict(classes=ClassList(['cat', 'cat'])), 'different names'),
            (dict(classes=ClassList(['cat'])), 'two names'),
            (dict(megapixels=0.0), 'megapixels: expected more than 0, got 0'),
            (dict(output_format='binary-png'), 'two classes'),
            (dict(output_format='seam', classes=ClassList(CLASSES.names, background=None)), 'class 0'),
        ],
    )
    def test_bad_settings(self, tmp_path, change, message):
        with pytest.raises(ValueError, match=message):
            make_task(tmp_path, count=1, **change)

    def test_workers(self, tmp_path):
        with pytest.raises(ValueError, match='workers'):
            refine_folder(make_task(tmp_path), workers=0)


class TestTool:
    def arguments(self, task) -> list:
        return [task.images, task.masks, task.out, '--classes', 'background,cat,dog,tree', '--format', 'index-png']

    def test_a_run(self, tmp_path, tool, config, capsys):
        task = make_task(tmp_path)
        truth = tmp_path / 'labels'
        write_labels(truth)
        assert tool(*self.arguments(task), '--refiner', config, '--labels', truth) == 0
        assert (task.out / 'table.txt').read_text() in capsys.readouterr().out
        assert contents(task.out) == contents_of_a_fresh_run(replace(task, truth=truth), tmp_path / 'fresh')

    def test_object(self, tmp_path, tool, config):
        classes = ClassList(['background', 'cat'])
        task = make_task(tmp_path, input_format='binary-png', classes=classes)
        assert tool(task.images, task.masks, task.out, '--object', 'cat', '--refiner', config) == 0
        assert contents(task.out) == contents_of_a_fresh_run(task, tmp_path / 'fresh')
        assert set(np.unique(labels_of(task.out / 'image_0.png'))) == {0, 255}

    def test_background_rule_and_output_format(self, tmp_path, tool, config):
        task = make_task(tmp_path, input_format='irn')
        arguments = [*self.arguments(task)[:5], '--refiner', config, '--format', 'irn', '--out-format', 'npz']
        assert tool(*arguments, '--background-rule', 'threshold:0.3') == 0
        first = np.load(task.out / 'image_0.npz')['probs']
        assert tool(*arguments, '--background-rule', 'power:2', '--overwrite') == 0
        assert not np.array_equal(np.load(task.out / 'image_0.npz')['probs'], first)

    def test_one_bad_file(self, tmp_path, tool, config, capsys):
        task = make_task(tmp_path)
        (task.masks / 'image_1.png').write_text('text')
        assert tool(*self.arguments(task), '--refiner', config) == 1
        assert str(task.masks / 'image_1.png') in capsys.readouterr().out
        assert len(read_report(task.out)['images']) == 2
        assert tool(*self.arguments(task), '--refiner', config, '--overwrite', '--strict') == 1
        error = capsys.readouterr().err
        assert f'error: {task.masks / "image_1.png"}: ' in error
        assert 'Traceback' not in error

    @pytest.mark.parametrize(
        ('changed', 'message'),
        [
            ({0: 'nowhere'}, 'images: no such folder'),
            ({1: 'nowhere'}, 'masks: no such folder'),
            ({2: 'masks'}, 'folder of its own'),
            ({4: 'nothing'}, 'classes: expected'),
            ({4: 'background,cat'}, 'expected labels below 2'),
            ({6: 'npz'}, 'expected masks'),
            ({9: 'nowhere'}, 'refiner'),
            ({9: 'nowhere.py'}, 'no such config file'),
        ],
    )
    def test_errors_are_one_line(self, tmp_path, tool, config, capsys, changed, message):
        arguments = [*self.arguments(make_task(tmp_path)), '--strict', '--refiner', config]
        for place, value in changed.items():
            arguments[place] = tmp_path / value if place < 3 else value
        assert tool(*arguments) == 1
        error = capsys.readouterr().err
        assert message in error.splitlines()[-1]
        assert 'Traceback' not in error

    @pytest.mark.parametrize(
        'extra', [['--background-rule', 'power'], ['--background-rule', 'threshold:2'], ['--format', 'gif']]
    )
    def test_bad_arguments(self, tmp_path, tool, extra):
        with pytest.raises(SystemExit):
            tool(*self.arguments(make_task(tmp_path)), *extra)
