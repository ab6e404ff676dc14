import io

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.io.image_headers import frame_note, has_sixteen_bits, upright_size
from mmseg_g4seg.io.images import open_whole, read_image, rgb_pixels, to_pixels
from mmseg_g4seg.io.label_files import open_png
from tests.io.pictures import save_turned, write_rgb16

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


class TestSixteenBits:
    @pytest.mark.parametrize('suffix', ['.png', '.tif'])
    @pytest.mark.parametrize('shift', [4, 0])
    def test_colour_is_refused(self, tmp_path, suffix, shift):
        """Pillow keeps the upper 8 of 16 bits: 16 grey levels, where a camera used 12."""
        path = tmp_path / f'a{suffix}'
        write_rgb16(path, PIXELS.astype(np.uint16) * 257 >> shift)
        for read in (read_image, open_whole):
            with pytest.raises(ValueError, match='expected an image of 8 bits a channel, got 16 bits'):
                read(path)
        opened, loaded = Image.open(path), Image.open(path)
        assert opened.mode == 'RGB'  # which is why the header has to be asked
        loaded.load()
        for image in (opened, loaded):
            with pytest.raises(ValueError, match='8 bits a channel, got 16 bits'):
                rgb_pixels(image)

    def test_from_memory(self, tmp_path):
        write_rgb16(tmp_path / 'a.png', PIXELS.astype(np.uint16))
        with pytest.raises(ValueError, match='16 bits'):
            rgb_pixels(Image.open(io.BytesIO((tmp_path / 'a.png').read_bytes())))

    def test_colours_of_labels(self, tmp_path):
        """The upper bytes of 16-bit colours may well be a palette's."""
        write_rgb16(tmp_path / 'a.png', PIXELS.astype(np.uint16))
        with pytest.raises(ValueError, match='16 bits'):
            open_png(tmp_path / 'a.png')

    @pytest.mark.parametrize('suffix', ['.png', '.tif', '.jpg', '.webp', '.bmp'])
    @pytest.mark.parametrize('mode', ['RGB', 'L'])
    def test_eight_bits_are_read(self, tmp_path, suffix, mode):
        Image.fromarray(PIXELS).convert(mode).save(tmp_path / f'a{suffix}')
        image = Image.open(tmp_path / f'a{suffix}')
        assert not has_sixteen_bits(image)
        image.load()
        assert not has_sixteen_bits(image)
        assert read_image(tmp_path / f'a{suffix}').shape == (3, 20, 30)

    def test_label_maps_may_have_16(self, tmp_path):
        Image.fromarray(PIXELS[..., 0].astype(np.uint16)).save(tmp_path / 'a.png')
        np.testing.assert_array_equal(np.array(open_png(tmp_path / 'a.png')), PIXELS[..., 0])


class TestOrientation:
    @pytest.mark.parametrize('suffix', ['.png', '.tif', '.jpg', '.webp'])
    @pytest.mark.parametrize(('tag', 'size'), [(1, (30, 20)), (3, (30, 20)), (6, (20, 30)), (8, (20, 30))])
    def test_upright_size(self, tmp_path, suffix, tag, size):
        path = tmp_path / f'a{suffix}'
        save_turned(path, PIXELS, tag)
        assert upright_size(path) == size
        assert tuple(read_image(path).shape[:0:-1]) == size

    def test_a_tag_behind_the_pixels(self, tmp_path):
        save_turned(tmp_path / 'a.png', PIXELS, 6)
        content = (tmp_path / 'a.png').read_bytes()
        start = content.index(b'eXIf') - 4
        stop = start + 12 + int.from_bytes(content[start : start + 4], 'big')
        end = content.rindex(b'IEND') - 4
        (tmp_path / 'a.png').write_bytes(content[:start] + content[stop:end] + content[start:stop] + content[end:])
        assert upright_size(tmp_path / 'a.png') == (20, 30)
        assert read_image(tmp_path / 'a.png').shape == (3, 30, 20)

    def test_masks_are_upright_too(self, tmp_path):
        save_turned(tmp_path / 'a.png', PIXELS[..., 0], 6)
        np.testing.assert_array_equal(np.array(open_png(tmp_path / 'a.png')), np.rot90(PIXELS[..., 0], -1))

    @pytest.mark.parametrize('suffix', ['.png', '.tif', '.jpg', '.webp'])
    def test_a_mask_of_the_stored_frame(self, tmp_path, suffix):
        path = tmp_path / f'a{suffix}'
        save_turned(path, PIXELS, 6)
        with Image.open(path) as image:
            for picture in (path, image):
                note = frame_note(picture, (30, 20), (20, 30))
                assert 'EXIF orientation 6, which exchanges height and width' in note
                assert frame_note(picture, (30, 20), (2, 3)) == note  # scores on a coarser grid
                assert frame_note(picture, (30, 20), (30, 20)) == ''
                assert frame_note(picture, (30, 20), (31, 20)) == ''
        for tag in (1, 3):
            save_turned(path, PIXELS, tag)
            assert frame_note(path, (20, 30), (30, 20)) == ''
        assert frame_note(tmp_path / 'missing.png', (20, 30), (30, 20)) == ''


def test_pixels_of_an_image_are_bytes_in_order():
    image = torch.tensor([0.0, 1.2, 0.5, -0.1, 1.0, 0.001]).view(3, 1, 2)
    pixels = to_pixels(image)
    assert pixels.tolist() == [[[0, 128, 255], [255, 0, 0]]]
    assert pixels.flags['C_CONTIGUOUS']
    assert pixels.dtype == np.uint8
