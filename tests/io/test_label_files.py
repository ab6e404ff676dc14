import io

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.prediction import ClassList, Prediction
from tests.hosts.folder.conftest import CLASSES, SIZE, random_pixels

LABELS = np.random.default_rng(0).choice([0, 1, 2, 3, 255], SIZE)
OBJECT = ClassList(['background', 'cat'])


def as_prediction(labels: np.ndarray, classes: ClassList = CLASSES) -> Prediction:
    probs = torch.full((len(classes), *labels.shape), 1 / len(classes))
    return Prediction(probs, torch.from_numpy(labels.astype(np.int64)))


def read(name: str, path, classes: ClassList = CLASSES) -> np.ndarray:
    label_map = build_format(name, classes).read(path).label_map
    assert label_map is not None
    assert label_map.dtype == torch.int64
    return label_map.numpy()


def palette_image(indices: np.ndarray, palette: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


class TestIndexPNG:
    @pytest.mark.parametrize(('count', 'mode', 'unlabelled'), [(4, 'L', 255), (255, 'L', 255), (300, 'I;16', 65535)])
    def test_round_trip(self, tmp_path, count, mode, unlabelled):
        classes = ClassList([str(i) for i in range(count)])
        labels = np.random.default_rng(1).choice([0, 3, count - 1, unlabelled], SIZE)
        path = tmp_path / 'a.png'
        path.write_bytes(build_format('index-png', classes).encode(as_prediction(labels, classes)))
        assert Image.open(path).mode == mode
        np.testing.assert_array_equal(read('index-png', path, classes), labels)

    def test_all_that_is_no_class_is_written_as_unlabelled(self, tmp_path):
        path = tmp_path / 'a.png'
        path.write_bytes(build_format('index-png', CLASSES).encode(as_prediction(np.array([[0, -1, 4, 77, 1000]]))))
        assert read('index-png', path).tolist() == [[0, 255, 255, 255, 255]]

    def test_any_palette_is_ignored(self, tmp_path):
        palette_image(LABELS, np.random.default_rng(2).integers(0, 256, (256, 3))).save(tmp_path / 'a.png')
        np.testing.assert_array_equal(read('index-png', tmp_path / 'a.png'), LABELS)

    def test_sixteen_bits_for_few_classes(self, tmp_path):
        Image.fromarray(LABELS.astype(np.uint16)).save(tmp_path / 'a.png')
        np.testing.assert_array_equal(read('index-png', tmp_path / 'a.png'), LABELS)

    @pytest.mark.parametrize('values', [np.full(SIZE, 4, np.uint8), np.full(SIZE, 256, np.uint16)])
    def test_unknown_class(self, tmp_path, values):
        Image.fromarray(values).save(tmp_path / 'a.png')
        with pytest.raises(ValueError, match=r'below 4 or 255, got \[(4|256)\]'):
            read('index-png', tmp_path / 'a.png')

    @pytest.mark.parametrize('mode', ['RGB', 'LA', '1'])
    def test_other_channels(self, tmp_path, mode):
        Image.fromarray(random_pixels()).convert(mode).save(tmp_path / 'a.png')
        with pytest.raises(ValueError, match='one channel'):
            read_index_png(tmp_path / 'a.png', 4)

    def test_only_png(self, tmp_path):
        Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / 'a.png', 'BMP')
        with pytest.raises(ValueError, match='expected a PNG, got BMP'):
            read('index-png', tmp_path / 'a.png')


class TestWholePNG:
    """PIL decodes pixels and does not look at what comes after them, nor at check sums."""

    def content(self) -> bytes:
        return build_format('index-png', CLASSES).encode(as_prediction(LABELS))

    def test_every_cut_is_an_error(self, tmp_path):
        content, path = self.content(), tmp_path / 'a.png'
        for length in range(len(content) - 4):  # the last four check an empty chunk
            path.write_bytes(content[:length])
            with pytest.raises((OSError, ValueError)):
                read('index-png', path)

    def test_every_damaged_pixel_byte_is_an_error(self, tmp_path):
        content, path = self.content(), tmp_path / 'a.png'
        for place in range(content.index(b'IDAT'), len(content) - 12):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises((OSError, ValueError)):
                read('index-png', path)


class TestPalettePNG:
    def test_round_trip(self, tmp_path):
        path = tmp_path / 'a.png'
        path.write_bytes(build_format('palette-png', CLASSES).encode(as_prediction(LABELS)))
        image = Image.open(path)
        assert image.mode == 'P'
        np.testing.assert_array_equal(np.array(image), LABELS)
        np.testing.assert_array_equal(np.array(image.convert('RGB')), voc_palette()[LABELS])
        np.testing.assert_array_equal(read('palette-png', path), LABELS)

    def test_the_colour_decides_whatever_its_place(self, tmp_path):
        order = np.random.default_rng(3).permutation(256)
        palette_image(np.argsort(order)[LABELS], voc_palette()[order]).save(tmp_path / 'a.png')
        assert not np.array_equal(np.array(Image.open(tmp_path / 'a.png')), LABELS)
        np.testing.assert_array_equal(read('palette-png', tmp_path / 'a.png'), LABELS)

    def test_rgb(self, tmp_path):
        Image.fromarray(voc_palette()[LABELS]).save(tmp_path / 'a.png')
        np.testing.assert_array_equal(read('palette-png', tmp_path / 'a.png'), LABELS)

    @pytest.mark.parametrize('colour', [(1, 2, 3), tuple(voc_palette()[4])])
    def test_unknown_colour(self, tmp_path, colour):
        pixels = voc_palette()[LABELS]
        pixels[3, 4] = colour
        Image.fromarray(pixels).save(tmp_path / 'a.png')
        with pytest.raises(ValueError, match='#{:02x}{:02x}{:02x}'.format(*colour)):
            read('palette-png', tmp_path / 'a.png')

    def test_grey_has_no_colours(self, tmp_path):
        Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / 'a.png')
        with pytest.raises(ValueError, match='palette image or RGB'):
            read('palette-png', tmp_path / 'a.png')

    @pytest.mark.parametrize('places', [(1, 2), (3, 255)])
    def test_classes_of_one_colour(self, places):
        palette = voc_palette()
        palette[places[0]] = palette[places[1]]
        with pytest.raises(ValueError, match='different colours'):
            build_format('palette-png', ClassList(CLASSES.names, palette=palette))

    def test_too_many_classes(self):
        with pytest.raises(ValueError, match='up to 255'):
            build_format('palette-png', ClassList([str(i) for i in range(256)]))


class TestBinaryPNG:
    MASK = np.random.default_rng(4).integers(0, 2, SIZE)

    @pytest.mark.parametrize('background', [0, 1])
    def test_round_trip(self, tmp_path, background):
        classes, path = ClassList(['a', 'b'], background=background), tmp_path / 'a.png'
        path.write_bytes(build_format('binary-png', classes).encode(as_prediction(self.MASK, classes)))
        np.testing.assert_array_equal(np.array(Image.open(path)), np.where(background == self.MASK, 0, 255))
        np.testing.assert_array_equal(read('binary-png', path, classes), self.MASK)

    @pytest.mark.parametrize(
        'image',
        [
            Image.fromarray(MASK.astype(np.uint8)),
            Image.fromarray(MASK.astype(np.uint8) * 255),
            Image.fromarray(MASK.astype(bool)),
            palette_image(MASK, np.array([[255, 0, 0], [0, 0, 0]])),
        ],
        ids=['0/1', '0/255', 'one bit', 'palette'],
    )
    def test_ways_to_write_it(self, tmp_path, image):
        image.save(tmp_path / 'a.png')
        np.testing.assert_array_equal(read('binary-png', tmp_path / 'a.png', OBJECT), self.MASK)

    @pytest.mark.parametrize('share', [0.2, 0.8, 1.0])
    @pytest.mark.parametrize('colours', [2, 4])
    def test_black_and_white_in_a_palette(self, tmp_path, share, colours):
        """Colours that were counted have the most frequent one first: masks of large objects were read inverted."""
        mask = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) < share * SIZE[0] * SIZE[1]
        image = Image.fromarray(mask.astype(np.uint8) * 255).convert('RGB')
        image.convert('P', palette=Image.Palette.ADAPTIVE, colors=colours).save(tmp_path / 'a.png')
        np.testing.assert_array_equal(read('binary-png', tmp_path / 'a.png', OBJECT), mask)

    @pytest.mark.parametrize('value', [0, 1])
    def test_other_palettes_decide_by_index(self, tmp_path, value):
        for colours in ([[255, 0, 0], [0, 0, 0]], [[255, 255, 255], [255, 0, 0]], [[0, 0, 0], [1, 1, 1]]):
            palette_image(np.full(SIZE, value), np.array(colours)).save(tmp_path / 'a.png')
            assert (read('binary-png', tmp_path / 'a.png', OBJECT) == value).all()

    @pytest.mark.parametrize('value', [0, 1, 255])
    def test_one_value(self, tmp_path, value):
        Image.fromarray(np.full(SIZE, value, np.uint8)).save(tmp_path / 'a.png')
        assert (read('binary-png', tmp_path / 'a.png', OBJECT) == min(value, 1)).all()

    @pytest.mark.parametrize('values', [[0, 128], [0, 1, 255], [0, 254]])
    def test_other_values(self, tmp_path, values):
        Image.fromarray(np.resize(np.array(values, np.uint8), SIZE)).save(tmp_path / 'a.png')
        with pytest.raises(ValueError, match='expected 0 and 255'):
            read('binary-png', tmp_path / 'a.png', OBJECT)

    def test_two_classes(self):
        with pytest.raises(ValueError, match='two classes'):
            build_format('binary-png', CLASSES)


@pytest.mark.parametrize('name', ['index-png', 'palette-png', 'binary-png'])
def test_no_picture_at_all(tmp_path, name):
    (tmp_path / 'a.png').write_text('text')
    with pytest.raises(OSError, match='cannot identify'):
        build_format(name, OBJECT).read(tmp_path / 'a.png')
    buffer = io.BytesIO()
    np.save(buffer, LABELS)
    (tmp_path / 'a.png').write_bytes(buffer.getvalue())
    with pytest.raises(OSError, match='cannot identify'):
        build_format(name, OBJECT).read(tmp_path / 'a.png')
