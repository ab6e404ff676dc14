"""What is wrong with a folder, a file or a setting is said."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.hosts.folder.faults import BadFile
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.io.formats import Reading
from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import (
    CLASSES,
    SIZE,
    make_task,
    random_pixels,
    read_report,
    write_labels,
    write_pair,
)
from tests.hosts.folder.timeless import timeless
from tests.io.pictures import save_turned, write_rgb16


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

    @pytest.mark.parametrize('name', ['Image_0', 'IMAGE_0'])
    def test_names_that_differ_in_case(self, tmp_path, name):
        task = make_task(tmp_path, count=1)
        (task.images / 'image_0.png').rename(task.images / f'{name}.png')
        (error,) = refine_folder(task)['errors']
        assert error['error'].startswith(f"no image of its name; there is '{name}.png', which differs in case, or in")

    def test_names_that_unicode_composes_in_another_way(self, tmp_path):
        """As macOS writes them: the two names look alike on every screen."""
        task = make_task(tmp_path, count=1)
        (task.images / 'image_0.png').rename(task.images / 'caf\u00e9.png')
        (task.masks / 'image_0.png').rename(task.masks / 'cafe\u0301.png')
        (error,) = refine_folder(task)['errors']
        assert "there is 'caf\u00e9.png', which differs in case, or in how Unicode composes" in error['error']

    def test_companions_of_macos_are_no_pictures(self, tmp_path):
        task = make_task(tmp_path, count=1)
        for folder in (task.images, task.masks):
            (folder / '._image_0.png').write_bytes(b'\0\5\x16\7')
        report = refine_folder(task)
        assert (len(report['images']), report['errors']) == (1, [])
        assert (report['ignored_files'], report['images_without_mask']) == (['._image_0.png'], [])

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

    @pytest.mark.parametrize('name', ['images', 'masks', 'truth'])
    def test_out_is_a_folder_of_its_own(self, tmp_path, name):
        """With --overwrite into the labels' folder the labels were removed."""
        write_labels(tmp_path / 'truth')
        task = make_task(tmp_path, truth=tmp_path / 'truth')
        (tmp_path / 'link').symlink_to(tmp_path / name)
        for out in (tmp_path / 'out' / '..' / name, tmp_path / 'link'):
            with pytest.raises(ValueError, match='out: expected a folder of its own'):
                replace(task, out=out)

    @pytest.mark.parametrize('place', ['.', 'masks', 'truth'])
    def test_fiftyone_has_a_folder_of_its_own(self, tmp_path, place):
        """Its folder `truth` would have taken the labels' place."""
        write_labels(tmp_path / 'truth')
        with pytest.raises(ValueError, match='fiftyone: expected a folder of its own'):
            make_task(tmp_path, truth=tmp_path / 'truth', fiftyone=tmp_path / place)

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
            (dict(megapixels=float('inf')), 'megapixels: expected more than 0, got inf'),
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


@pytest.mark.parametrize(
    ('coarse', 'names', 'message'),
    [
        (dict(levels=[9]), ['background', 'sky'], 'levels: this prior has self-attention at .* got 9'),
        (dict(levelz=[2]), ['background', 'sky'], "no option 'levelz'"),
        ({}, ['background', 'x' * 99], r"class name 'x+' ends at token \d+ of its prompt"),
    ],
)
def test_a_source_that_cannot_be_built_is_no_images_fault(tmp_path, coarse, names, message):
    task = make_task(tmp_path)
    source = dict(type='SeeDiff', prior='tiny', **coarse)
    with pytest.raises(ValueError, match=message):
        refine_folder(replace(task, masks=None, coarse=source, classes=ClassList(names)))
