"""The refiner itself: which classes, which labels, what is refused, and what fits into memory."""

import pytest
import torch

from mmseg_g4seg.diffusion.injection import DenseDiffusionInjector, MaskInjector
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from tests.conftest import NAMES, random_case
from tests.refiners.g4seg.making import asking, make


class TestKnownClasses:
    @pytest.mark.parametrize('update', [LikelihoodUpdate(), CorrespondenceUpdate()], ids=['likelihood', 'paper'])
    def test_only_they_are_named_to_the_prior(self, prior, monkeypatch, update):
        image, coarse = random_case()
        named = set()
        encode = prior.encode_prompts

        def record(prompts, *args):
            named.update(name for prompt in prompts for name in prompt)
            return encode(prompts, *args)

        monkeypatch.setattr(prior, 'encode_prompts', record)
        known = [NAMES[0], NAMES[3], 'a class of other data']
        make(prior, update=update).refine(image, coarse, ClassList(NAMES, known=known))
        assert named & set(NAMES) == {NAMES[0], NAMES[3]}

    def test_others_keep_their_probabilities_and_their_total(self, prior):
        image, coarse = random_case()
        refined = asking(prior).refine(image, coarse, ClassList(NAMES, known=[NAMES[0], NAMES[3]]))
        torch.testing.assert_close(refined.probs[[1, 2, 4]], coarse.probs[[1, 2, 4]])
        assert not torch.allclose(refined.probs[[0, 3]], coarse.probs[[0, 3]], atol=1e-3)

    def test_a_mask_without_any_stays(self, prior):
        image, coarse = random_case()
        coarse = Prediction(coarse.probs, torch.ones_like(coarse.label_map))
        refined = make(prior).refine(image, coarse, ClassList(NAMES, known=[NAMES[0]]))
        assert torch.equal(refined.probs, coarse.probs)
        assert torch.equal(refined.label_map, coarse.label_map)

    def test_synonyms(self, prior):
        image, coarse = random_case()
        names = [('heaven', NAMES[0]), *NAMES[1:]]
        by_one, by_other = (
            make(prior).refine(image, coarse, ClassList(names, known=[known])).probs
            for known in (f' {NAMES[0]}', 'heaven')
        )
        assert torch.equal(by_one, by_other)
        assert not torch.equal(by_one, coarse.probs)

    def test_none_of_the_data(self, prior):
        with pytest.raises(ValueError, match=r"known: expected some of \['sky', .*got \['roof'\]"):
            make(prior).refine(*random_case(), ClassList(NAMES, known=['roof']))


class TestClasses:
    def test_background_is_never_refined(self, prior):
        image, coarse = random_case()
        background = Prediction(coarse.probs, torch.zeros_like(coarse.label_map))
        refined = make(prior).refine(image, background, ClassList(NAMES, background=0))
        assert torch.equal(refined.probs, background.probs)

    def test_a_class_called_background_is_it(self, prior):
        image, coarse = random_case()
        names = ['__background__', *NAMES[1:]]
        by_name = make(prior).refine(image, coarse, names)
        assert torch.equal(by_name.probs, make(prior).refine(image, coarse, ClassList(NAMES, background=0)).probs)
        told_otherwise = make(prior).refine(image, coarse, ClassList(names, background=None))
        assert not torch.equal(by_name.probs, told_otherwise.probs)

    def test_background_threshold_decides(self, prior):
        image, coarse = random_case()
        threshold = 0.9
        refined = make(prior).refine(image, coarse, ClassList(NAMES, background=0, threshold=threshold))
        changed = (refined.probs != coarse.probs).any(0)
        low = changed & (refined.probs[1:].amax(0) < threshold)
        assert low.any()
        assert (refined.label_map[low] == 0).all()

    def test_small_classes_are_left_out(self, prior):
        image, coarse = random_case()
        assert torch.equal(make(prior, min_area=1.0).refine(image, coarse, NAMES).probs, coarse.probs)

    def test_synonyms_and_names_of_many_tokens(self, prior):
        image, coarse = random_case()
        names = ['sky', ('wall', 'bricks'), 'qwxjv', 'hot air balloon', 'fish']
        assert torch.isfinite(make(prior).refine(image, coarse, names).probs).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'update': MaskInjector()}, 'update: expected a part of .*, got a MaskInjector'),
        ({'injection': LikelihoodUpdate()}, 'injection: expected'),
        ({'injection': [MaskInjector(), DenseDiffusionInjector()]}, 'one rule of attention at the most'),
        ({'min_area': 1.5}, 'min_area'),
        ({'seed': 'x'}, 'seed: expected an integer'),
        ({'prompt_template': 'a photo'}, 'prompt_template'),
        ({'image_size': 30}, 'multiples of 16'),
        ({'image_size': 32.0}, r'image_size: expected an integer, or \(height, width\), got 32.0'),
        ({'image_size': '32'}, 'image_size: expected an integer'),
        ({'image_size': (32,)}, 'image_size: expected an integer'),
        ({'passes_per_batch': 2.5}, 'passes_per_batch: expected an integer of at least 1, or None, got 2.5'),
        ({'passes_per_batch': 0}, 'passes_per_batch'),
        ({'memory_budget': '8'}, 'memory_budget: expected GiB above 0, or None'),
        ({'memory_budget': 0}, 'memory_budget: expected GiB above 0'),
    ],
)
def test_options_out_of_range(prior, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(prior, **options)


class TestBadInput:
    def check(self, prior, message, image=None, probs=None, label_map=None, names=NAMES, **options):
        good_image, good = random_case()
        prediction = Prediction(
            good.probs if probs is None else probs, good.label_map if label_map is None else label_map
        )
        with pytest.raises(ValueError, match=message):
            make(prior).refine_batch([good_image if image is None else image], [prediction], names, **options)

    def test_nan_scores(self, prior):
        probs = random_case()[1].probs.clone()
        probs[0, 0, 0] = float('nan')
        self.check(prior, 'image 0: expected finite probs, got 1', probs=probs)

    def test_logits(self, prior):
        self.check(prior, r'probs in \[0, 1\]', probs=random_case()[1].probs * 9 - 4)

    def test_pixels_out_of_range(self, prior):
        self.check(prior, r'pixels in \[0, 1\]', image=random_case()[0] * 255)

    def test_grey_image(self, prior):
        self.check(prior, r'\(3, H, W\)', image=torch.rand(1, 24, 40))

    def test_sizes_that_differ(self, prior):
        self.check(prior, r'probs \(5, 20, 40\)', image=torch.rand(3, 20, 40))

    def test_number_of_names(self, prior):
        self.check(prior, r'probs \(2, 24, 40\) for 2 class names', names=['sky', 'fish'])

    def test_float_labels(self, prior):
        self.check(prior, 'integer label_map', label_map=torch.zeros(24, 40))

    @pytest.mark.parametrize('known', [None, ['sky']])
    def test_empty_name(self, prior, known):
        with pytest.raises(ValueError, match='class name: expected non-empty text'):
            make(prior).refine(*random_case(), ClassList([*NAMES[:-1], ' '], known=known))

    def test_number_of_keys(self, prior):
        self.check(prior, 'one key an image', keys=['a', 'b'])


class TestMemory:
    """A model in whose memory two passes fit."""

    @pytest.fixture
    def small_memory(self, prior, monkeypatch):
        own = type(prior).denoise

        def denoise(self, noisy, *args, **kwargs):
            if len(noisy) > 2:
                raise torch.cuda.OutOfMemoryError('CUDA out of memory')
            return own(self, noisy, *args, **kwargs)

        monkeypatch.setattr(type(prior), 'denoise', denoise)

    @pytest.mark.parametrize('update', [CorrespondenceUpdate(), LikelihoodUpdate(timesteps=(300,))], ids=['p', 'l'])
    def test_goes_on_in_smaller_batches(self, prior, small_memory, update):
        image, coarse = random_case()
        expected = make(prior, update=update, passes_per_batch=2).refine(image, coarse, NAMES)
        refiner = make(prior, update=update, passes_per_batch=16)
        with pytest.warns(UserWarning, match='passes at once do not fit') as caught:
            refined = refiner.refine(image, coarse, NAMES)
        assert sum('do not fit' in str(one.message) for one in caught) == 1, 'said once'
        torch.testing.assert_close(refined.probs, expected.probs, atol=1e-5, rtol=1e-4)

    def test_an_image_that_does_not_fit(self, prior, monkeypatch):
        def encode(self, images):
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')

        monkeypatch.setattr(type(prior), 'encode_images', encode)
        with pytest.raises(MemoryError, match='expected a smaller image_size'):
            make(prior).refine(*random_case(), NAMES)
