import copy
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg import PAMRRefiner, load_refiner
from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from mmseg_g4seg.hosts import arrays
from mmseg_g4seg.hosts.arrays import ImageRefiner, merged, read_refiner_config
from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.ops.masks import soften_labels
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from tests.conftest import ROOT, random_case

TINY_CONFIG = ROOT / 'configs' / '_base_' / 'refiners' / 'g4seg_tiny.py'
NAMES = ['background', 'cat', 'dog', 'tree']
IMAGE, COARSE = random_case(classes=len(NAMES))
PIXELS = (IMAGE.permute(1, 2, 0) * 255).byte().numpy()
LABELS = COARSE.label_map.clone()
LABELS[:2] = 255
PAMR = PAMRRefiner(1, [1])


class Keep(Refiner):
    """Changes nothing, and keeps the coarse labels."""

    def refine_batch(self, images, predictions, classes, *, keys=None):
        self.labels = predictions[0].label_map
        return predictions


@pytest.fixture
def refiner() -> ImageRefiner:
    return ImageRefiner(PAMR)


def refined_labels(labels: torch.Tensor = LABELS, names=NAMES) -> np.ndarray:
    """What the refiner makes of a mask, without the API."""
    probs = soften_labels(labels.long(), len(names), 0.015 * max(labels.shape))
    image = torch.from_numpy(PIXELS).permute(2, 0, 1) / 255
    return PAMR.refine(image, Prediction(probs, labels.long()), names).label_map.numpy()


class TestImages:
    @pytest.mark.parametrize(
        'image',
        [
            PIXELS,
            PIXELS.astype(np.float32) / 255,
            PIXELS.astype(np.float64) / 255,
            np.asfortranarray(PIXELS),
            PIXELS[:, ::-1][:, ::-1],
            np.asarray(Image.fromarray(PIXELS)),  # not to be written, of which torch warns
            (PIXELS / 255).astype('>f4'),
            torch.from_numpy(PIXELS).permute(2, 0, 1),
            torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
            (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).double(),
            Image.fromarray(PIXELS),
            Image.fromarray(PIXELS).convert('RGBA'),
        ],
        ids=lambda image: f'{type(image).__name__} {getattr(image, "dtype", getattr(image, "mode", ""))}',
    )
    @pytest.mark.filterwarnings('error')
    def test_one_image_of_any_kind(self, refiner, image):
        assert refined_labels().tolist() == refiner(image, LABELS, NAMES).tolist()

    def test_grey_is_colour_without_colour(self, refiner):
        grey = Image.fromarray(PIXELS).convert('L')
        assert torch.equal(refiner(grey, LABELS, NAMES), refiner(grey.convert('RGB'), LABELS, NAMES))

    def test_a_picture_whose_file_is_gone(self, refiner, tmp_path):
        """Its number of bits is in the file alone; a temporary one is deleted once the pixels are read."""
        Image.fromarray(PIXELS).save(tmp_path / 'a.png')
        image = Image.open(tmp_path / 'a.png')
        image.load()
        (tmp_path / 'a.png').unlink()
        assert refined_labels().tolist() == refiner(image, LABELS, NAMES).tolist()

    @pytest.mark.parametrize('orientation', range(1, 9))
    def test_a_picture_is_turned_as_its_tag_says(self, refiner, tmp_path, orientation):
        """Cameras store what the sensor saw; masks are drawn on what a viewer shows."""
        turn = Image.Transpose
        turns = [turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM]
        turns += [turn.TRANSPOSE, turn.ROTATE_90, turn.TRANSVERSE, turn.ROTATE_270]
        stored = Image.fromarray(PIXELS)
        if orientation > 1:  # as the tag's standard numbers the ways to store an upright picture
            stored = stored.transpose(turns[orientation - 2])
        stored.getexif()[0x0112] = orientation
        stored.save(tmp_path / 'a.png', exif=stored.getexif())
        for image in (stored, Image.open(tmp_path / 'a.png')):
            np.testing.assert_array_equal(refiner(image, LABELS.numpy(), NAMES), refined_labels())
        np.testing.assert_array_equal(read_image(tmp_path / 'a.png').permute(1, 2, 0) * 255, PIXELS)

    @pytest.mark.parametrize(
        ('image', 'error', 'message'),
        [
            ('image.png', TypeError, 'PIL image, an array or a tensor, got str'),
            (PIXELS.astype(np.int32), TypeError, 'uint8, or float'),
            (PIXELS.astype(np.float32), ValueError, r'pixels in \[0, 1\]'),
            (PIXELS[..., 0], ValueError, 'height, width, 3'),
            (IMAGE.numpy(), ValueError, 'height, width, 3'),
            (torch.from_numpy(PIXELS), ValueError, r'\(3, H, W\)'),
            (PIXELS[:-1], ValueError, r'expected a mask of 23 x 40 \(height x width\) as the image has, got 24 x 40'),
            (IMAGE * float('nan'), ValueError, 'pixels'),
            (IMAGE[0, 0], ValueError, r'image: expected a tensor \(3, height, width\), got \(40,\)'),
            (Image.fromarray(PIXELS[..., 0].astype(np.uint16)), ValueError, '8 bits a channel, got mode I;16'),
        ],
    )
    def test_bad_images(self, refiner, image, error, message):
        with pytest.raises(error, match=message):
            refiner(image, LABELS, NAMES)


class TestMasks:
    @pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.uint16, np.int32, np.int64])
    def test_arrays(self, refiner, dtype):
        refined = refiner(PIXELS, LABELS.numpy().astype(dtype), NAMES)
        assert isinstance(refined, np.ndarray)
        assert refined.dtype == dtype
        np.testing.assert_array_equal(refined, refined_labels())
        assert (refined[:2] == 255).all()
        assert (refined != LABELS.numpy()).any()

    @pytest.mark.parametrize('dtype', [torch.uint8, torch.int16, torch.int32, torch.int64])
    def test_tensors(self, refiner, dtype):
        refined = refiner(IMAGE, LABELS.to(dtype), NAMES)
        assert isinstance(refined, torch.Tensor)
        assert refined.dtype == dtype
        assert refined.device == LABELS.device

    @pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
    def test_device(self, refiner):
        for maps in (LABELS.cuda(), COARSE.probs.cuda()):
            assert refiner(IMAGE, maps, NAMES).device == maps.device

    @pytest.mark.parametrize('mode', ['L', 'I', 'I;16'])
    def test_pictures(self, refiner, mode):
        dtype = {'L': np.uint8, 'I': np.int32, 'I;16': np.uint16}[mode]
        refined = refiner(Image.fromarray(PIXELS), Image.fromarray(LABELS.numpy().astype(dtype)), NAMES)
        assert isinstance(refined, Image.Image)
        assert refined.mode == mode
        np.testing.assert_array_equal(np.array(refined), refined_labels())

    def test_a_palette_is_kept(self, refiner):
        mask = Image.fromarray(LABELS.numpy().astype(np.uint8))
        mask.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        refined = refiner(Image.fromarray(PIXELS), mask, NAMES)
        assert refined.mode == 'P'
        assert refined.getpalette() == mask.getpalette()
        np.testing.assert_array_equal(np.array(refined), refined_labels())

    def test_one_object(self, refiner):
        mask = COARSE.label_map > 1
        expected = refined_labels(mask.long(), NAMES[:2]).astype(bool)
        picture = refiner(PIXELS, Image.fromarray(mask.numpy()), NAMES[:2])
        assert picture.mode == '1'
        for refined in (refiner(PIXELS, mask, NAMES[:2]), refiner(PIXELS, mask.numpy(), NAMES[:2]), picture):
            found = np.array(refined)
            assert found.dtype == bool
            np.testing.assert_array_equal(found, expected)

    def test_one_object_whose_background_is_second(self, refiner):
        """As an index, True is the background; a mask without an object was one of the object alone."""
        names, mask = NAMES[1::-1], COARSE.label_map > 1
        expected = refined_labels((~mask).long(), names) == 0
        for given in (mask, mask.numpy(), Image.fromarray(mask.numpy())):
            np.testing.assert_array_equal(np.array(refiner(PIXELS, given, names)), expected)
            with pytest.raises(ValueError, match=r'mask: expected two class names, .* with bool, got 4'):
                refiner(PIXELS, given, NAMES)
        keep = ImageRefiner(Keep())
        assert not keep(PIXELS, mask & False, names).any()
        assert keep.refiner.labels.tolist() == np.ones_like(mask).tolist()

    @pytest.mark.parametrize('names', [NAMES[:2], NAMES[1::-1], NAMES[1:3]])
    def test_one_object_in_255(self, refiner, names):
        """It went for unlabelled: nothing was refined, without a word."""
        mask = COARSE.label_map > 1
        object_index = 0 if names[1] == 'background' else 1
        expected = refined_labels(torch.where(mask, object_index, 1 - object_index), names) == object_index
        assert (expected != mask.numpy()).any()
        drawn = mask.byte() * 255
        array = drawn.numpy()
        for given in (drawn, drawn.long(), array, array.astype(np.uint16), Image.fromarray(array)):
            refined = refiner(PIXELS, given, names)
            assert type(refined) is type(given)
            np.testing.assert_array_equal(np.array(refined), expected * 255)

    def test_a_mask_is_turned_as_its_tag_says(self, refiner):
        stored = Image.fromarray(np.rot90(LABELS.numpy().astype(np.uint8)))
        stored.getexif()[0x0112] = 6
        np.testing.assert_array_equal(np.array(refiner(PIXELS, stored, NAMES)), refined_labels())

    def test_a_mask_of_the_stored_frame(self, refiner):
        """It was refined against a picture that lay on its side."""
        stored = Image.fromarray(np.rot90(PIXELS))
        stored.getexif()[0x0112] = 6
        for maps in (np.rot90(LABELS.numpy()), torch.rot90(COARSE.probs, dims=(1, 2))):
            with pytest.raises(ValueError, match=r'of 24 x 40 .* got 40 x 24: the image has EXIF orientation 6'):
                refiner(stored, maps, NAMES)

    def test_with_a_1_255_is_unlabelled(self, refiner):
        mask = (COARSE.label_map > 1).long()
        mask[:2] = 255
        refined = refiner(PIXELS, mask, NAMES[:2])
        assert (refined[:2] == 255).all()
        assert set(refined[2:].unique().tolist()) <= {0, 1}

    @pytest.mark.parametrize(
        ('mask', 'error', 'message'),
        [
            (LABELS.clamp(max=1) * 255, ValueError, 'below 4, got no other values than 0 and 255: .* two class names'),
            ([[0, 1]], TypeError, 'mask: expected a PIL image, an array or a tensor, got list'),
            (Image.fromarray(PIXELS), ValueError, 'one channel, got mode RGB'),
            (LABELS[None], ValueError, r'class indices \(height, width\)'),
            (LABELS.float(), ValueError, r'class indices \(height, width\)'),
            (LABELS.numpy().astype(np.float32), ValueError, r'class indices \(height, width\)'),
            (LABELS - 1, ValueError, r'or 255, got \[-1, 254\]'),
            (LABELS + 2, ValueError, r'labels below 4 or 255, got \[4, 5, 257\]'),
            (
                LABELS[:, :-1],
                ValueError,
                r'expected a mask of 24 x 40 \(height x width\) as the image has, got 24 x 39',
            ),
        ],
    )
    def test_bad_masks(self, refiner, mask, error, message):
        with pytest.raises(error, match=message):
            refiner(PIXELS, mask, NAMES)

    def test_a_name_is_no_list_of_names(self, refiner):
        with pytest.raises(TypeError, match="list of names, got the text 'cat'"):
            refiner(PIXELS, LABELS, 'cat')


class TestClasses:
    class Watched(PAMRRefiner):
        """Says what it was told of classes."""

        def refine_batch(self, images, predictions, classes, **options):
            self.classes = classes
            return super().refine_batch(images, predictions, classes, **options)

    @pytest.mark.parametrize('maps', [LABELS, COARSE.probs], ids=['labels', 'probs'])
    def test_names_become_a_class_list(self, maps):
        watched = self.Watched(1, [1])
        ImageRefiner(watched)(IMAGE, maps, [['cat', 'kitten'], 'Background', 'dog', 'tree'])
        assert watched.classes == ClassList([('cat', 'kitten'), 'Background', 'dog', 'tree'], background=1)

    def test_the_refiners_config_may_say_more_of_them(self):
        watched = self.Watched(1, [1])
        watched.class_options = dict(background='dog', known=['cat', 'dog'])
        ImageRefiner(watched)(IMAGE, LABELS, NAMES)
        assert watched.classes == ClassList(NAMES, background='dog', known=['cat', 'dog'])

    def test_a_class_list_is_taken_as_it_is(self):
        watched = self.Watched(1, [1])
        watched.class_options = dict(background='dog')
        given = ClassList(NAMES, background=None)
        ImageRefiner(watched)(IMAGE, LABELS, given)
        assert watched.classes is given

    def test_more_classes_than_a_byte_holds(self):
        labels = LABELS.clone().long()
        labels[0], labels[1] = 65535, 255
        refined = ImageRefiner(PAMR)(IMAGE, labels, [f'class {i}' for i in range(300)])
        assert (refined[0] == 65535).all()
        with pytest.raises(ValueError, match=r'or 65535, got \[300\]'):
            ImageRefiner(PAMR)(IMAGE, labels.clamp(max=300), [f'class {i}' for i in range(300)])


class TestProbabilities:
    @pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
    def test_arrays(self, refiner, dtype):
        refined = refiner(PIXELS, COARSE.probs.numpy().astype(dtype), NAMES)
        assert isinstance(refined, np.ndarray)
        assert refined.dtype == dtype
        expected = PAMR.refine(torch.from_numpy(PIXELS).permute(2, 0, 1) / 255, COARSE, NAMES).probs
        np.testing.assert_allclose(refined, expected, atol=2e-3 if dtype == np.float16 else 1e-6)

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_tensors(self, refiner, dtype):
        refined = refiner(IMAGE, COARSE.probs.to(dtype), NAMES)
        assert refined.dtype == dtype
        assert refined.shape == COARSE.probs.shape

    @pytest.mark.parametrize(
        ('probs', 'message'),
        [
            (COARSE.probs[:3], r'expected probs \(4'),
            (COARSE.probs[:, :-1], r'expected probabilities of 24 x 40 \(height x width\) .* got 23 x 40'),
            (COARSE.probs * 9, r'probs in \[0, 1\]'),
            (COARSE.probs * 0.5, 'sum to 1 .* got sums from 0.5 to 0.5'),
            (COARSE.probs * float('nan'), 'finite'),
            (COARSE.probs[0], 'float probabilities'),
            (COARSE.probs + 0j, 'float probabilities .* got torch.complex64'),
        ],
    )
    def test_bad_probabilities(self, refiner, probs, message):
        with pytest.raises(ValueError, match=message):
            refiner(IMAGE, probs, NAMES)

    def test_a_threshold_decides_the_coarse_labels_too(self):
        keep = ImageRefiner(Keep())
        probs = torch.tensor([0.3, 0.45, 0.25]).reshape(3, 1, 1).expand(3, *IMAGE.shape[1:])
        for threshold, label in ((None, 1), (0.5, 0)):
            keep(IMAGE, probs, ClassList(NAMES[:3], threshold=threshold))
            assert (keep.refiner.labels == label).all()

    def test_a_networks_own_have_a_graph(self, refiner):
        refined = refiner(IMAGE, COARSE.probs.clone().requires_grad_(), NAMES)
        assert not refined.requires_grad
        assert torch.equal(refined, refiner(IMAGE, COARSE.probs, NAMES))


class TestLoadRefiner:
    def test_tiny(self):
        refiner = load_refiner('tiny', image_size=64)
        assert isinstance(refiner.refiner, G4SegRefiner)
        assert (refiner.refiner.image_size, refiner.refiner.injectors[0].cross_weight) == ((64, 64), 3.0)
        refined = refiner(PIXELS, LABELS.numpy(), NAMES)
        np.testing.assert_array_equal(refined, refiner(PIXELS, LABELS.numpy(), NAMES))
        assert refined.shape == LABELS.shape
        assert (refined[:2] == 255).all()
        assert set(np.unique(refined[2:])) <= {0, 1, 2, 3}
        probs = refiner(PIXELS, COARSE.probs.numpy(), NAMES, key='image')
        np.testing.assert_allclose(probs.sum(axis=0), 1, atol=1e-5)
        assert (probs != COARSE.probs.numpy()).any()

    def test_settings_of_the_embedded_prior_are_the_configs(self):
        pytest.importorskip('mmengine')
        settings = json.loads((EMBEDDED_PRIORS['tiny'] / 'refiner.json').read_text())
        config = read_refiner_config(TINY_CONFIG)
        assert (config.pop('type'), config.pop('prior')) == ('G4SegRefiner', 'tiny')
        assert settings == {name: list(v) if isinstance(v, tuple) else v for name, v in config.items()}
        assert read_refiner_config('tiny') == {'type': 'G4SegRefiner', 'prior': 'tiny', **settings}

    def test_folder_of_a_prior(self, prior_folder, tmp_path):
        folder = tmp_path / 'prior'
        shutil.copytree(prior_folder, folder)
        with pytest.raises(FileNotFoundError, match=r'folder of a prior with a refiner\.json'):
            load_refiner(folder)
        update = '"update": {"type": "LikelihoodUpdate", "sharpness": 10.0, "uncertain_below": 0.7}'
        (folder / 'refiner.json').write_text(f'{{"image_size": [32, 48], {update}}}')
        for source in (folder, str(folder)):
            refiner = load_refiner(source, update=dict(sharpness=20.0)).refiner
            assert isinstance(refiner, G4SegRefiner)
            assert refiner.image_size == (32, 48)
            assert (refiner.update.sharpness, refiner.update.uncertain_below) == (20.0, 0.7)

    def test_a_config_of_the_package(self):
        pytest.importorskip('mmengine')
        assert read_refiner_config('mmseg_g4seg::_base_/refiners/g4seg_sd21.py')['update']['beta'] == 0.8
        with pytest.raises(FileNotFoundError, match=r'no such config file: .*refiners/none\.py'):
            read_refiner_config('mmseg_g4seg::_base_/refiners/none.py')

    def test_config_file(self, tmp_path):
        pytest.importorskip('mmengine')
        path = tmp_path / 'config.py'
        path.write_text("refiner = dict(type='PAMRRefiner', iterations=3)\n")
        assert load_refiner(path).refiner.iterations == 3
        path.write_text("model = dict(type='Any', refiner=dict(type='PAMRRefiner', iterations=4))\n")
        assert load_refiner(str(path), dilations=[2]).refiner.dilations == (2,)
        path.write_text('runner = 1\n')
        with pytest.raises(ValueError, match="expected a line 'refiner"):
            load_refiner(path)

    def test_dictionary(self):
        config = dict(type='PAMRRefiner', iterations=2)
        assert load_refiner(config, iterations=3).refiner.iterations == 3
        assert config == dict(type='PAMRRefiner', iterations=2)

    def test_options_reach_what_is_built(self, monkeypatch):
        built = []
        monkeypatch.setattr(arrays, 'build_refiner', lambda config: built.append(config) or PAMR)
        config = dict(type='Any', update=dict(type='U', sharpness=10, smoothing=3), min_area=0.1)
        load_refiner(config, update=dict(sharpness=20), min_area=0.2)
        assert built == [dict(type='Any', update=dict(type='U', sharpness=20, smoothing=3), min_area=0.2)]

    @pytest.mark.parametrize(
        ('source', 'error', 'message'),
        [
            ('no_such_prior', FileNotFoundError, "expected one of .*'tiny'"),
            ('no_such_file.py', FileNotFoundError, 'no such config file'),
            (dict(iterations=1), ValueError, 'refiner: there is no part None'),
            (dict(type='Other'), ValueError, "refiner: there is no part 'Other'"),
        ],
    )
    def test_bad_sources(self, source, error, message):
        with pytest.raises(error, match=message):
            load_refiner(source)

    def test_unknown_option(self):
        with pytest.raises(ValueError, match="G4SegRefiner has no option 'no_such_option'"):
            load_refiner('tiny', no_such_option=1)
        with pytest.raises(ValueError, match=r"refiner\.update: .*'sharpnes': did you mean 'sharpness'"):
            load_refiner('tiny', update=dict(sharpnes=20))

    def test_options_of_classes_reach_the_refiner(self):
        refiner = load_refiner(dict(type='PAMRRefiner', classes=dict(background='cat')), classes=dict(known=['dog']))
        assert refiner.refiner.class_options == dict(background='cat', known=['dog'])


class TestMerged:
    CONFIG = dict(prior='tiny', update=dict(type='A', beta=0.8, features=dict(type='F', block=1)), sizes=[1, 2])  # noqa: RUF012

    @pytest.mark.parametrize(
        ('options', 'changed'),
        [
            (dict(), dict()),
            (dict(other=1), dict(other=1)),
            (dict(sizes=[3]), dict(sizes=[3])),
            (dict(update=None), dict(update=None)),
            (dict(update=dict(beta=0.9)), dict(update=dict(type='A', beta=0.9, features=dict(type='F', block=1)))),
            (
                dict(update=dict(type='A', features=dict(block=2))),
                dict(update=dict(type='A', beta=0.8, features=dict(type='F', block=2))),
            ),
            # the options of another part need not fit
            (dict(update=dict(type='B', sharpness=3)), dict(update=dict(type='B', sharpness=3))),
            (dict(prior='other'), dict(prior='other')),
            (dict(prior=dict(dtype='float16')), dict(prior=dict(source='tiny', dtype='float16'))),
        ],
    )
    def test_parts_are_merged(self, options, changed):
        before = copy.deepcopy(self.CONFIG)
        assert merged(self.CONFIG, options) == {**self.CONFIG, **changed}
        assert before == self.CONFIG
