"""A part of one's own is one class and one decorator, and is used from a config by `type`."""

from contextlib import contextmanager

import pytest
import torch

from mmseg_g4seg import DenseCRFRefiner, Prediction, Refiner, build_refiner
from mmseg_g4seg.diffusion.injection import Injector
from mmseg_g4seg.refiners.dense_crf import CRFParameters
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep, Reconstruction
from mmseg_g4seg.refiners.g4seg.updates import Update
from mmseg_g4seg.registry import build, names_of, register, without_scopes
from tests.conftest import NAMES, random_case


@register
class HalfWayUpdate(Update):
    """Moves every selected class towards a probability of one half."""

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = share

    def __call__(self, passes, images, predictions, selected):
        own = [p.probs[list(classes)] for p, classes in zip(predictions, selected, strict=True)]
        return [(c, p + self.share * (0.5 - p)) for c, p in zip(selected, own, strict=True)]


@register
class BrighterInjector(Injector):
    """Adds to what the U-Net is given: nothing but a further argument and a change that is undone."""

    def __init__(self, *, amount: float = 1.0) -> None:
        self.amount, self.seen = amount, []

    @contextmanager
    def installed(self, prior, layout):
        self.seen.append(tuple(layout.region_masks.shape))
        yield
        self.seen.append('undone')

    def arguments(self, layout, latents, timestep, embeds):
        return {'mid_block_additional_residual': torch.full((1,), self.amount)}


@register
class InvertRefiner(Refiner):
    """Exchanges the first two classes."""

    name = 'inverted'

    def __init__(self, *, strength: int = 1) -> None:
        self.strength = strength

    def refine_batch(self, images, predictions, classes, *, keys=None):
        probs = [p.probs[[1, 0, *range(2, len(classes))]] for p in predictions]
        return [Prediction(p, p.argmax(0)) for p in probs]


@register
class UnchangedReconstruction(Reconstruction):
    """What comes in."""

    def check(self, prior):
        pass

    def __call__(self, passes, images, layouts):
        return torch.stack([images[layout.image_index].latents for layout in layouts])


def test_an_update_rule(prior_folder):
    image, coarse = random_case()
    config = dict(
        type='G4SegRefiner', prior=str(prior_folder), image_size=32, update=dict(type='HalfWayUpdate', share=1)
    )
    refined = build_refiner(config).refine(image, coarse, NAMES)
    torch.testing.assert_close(refined.probs, torch.full_like(coarse.probs, 1 / len(NAMES)))


def test_an_injector(prior_folder):
    image, coarse = random_case()
    config = dict(type='G4SegRefiner', prior=str(prior_folder), image_size=32)
    own = build_refiner(dict(config, injection=dict(type='BrighterInjector', amount=2.0)))
    assert own.injectors[0].amount == 2.0
    assert not torch.equal(
        own.reconstruct(image, coarse, NAMES), build_refiner(config).reconstruct(image, coarse, NAMES)
    )
    assert own.injectors[0].seen == [(1, 5, 8, 8), 'undone']


def test_a_refiner_in_a_chain():
    image, coarse = random_case()
    chain = build_refiner(dict(type='SequentialRefiner', refiners=[dict(type='InvertRefiner')] * 2))
    stages = chain.refine_stages([image], [coarse], NAMES)
    assert [stage.name for stage in stages] == ['inverted', 'inverted #2']
    assert torch.equal(stages[-1].predictions[0].probs, coarse.probs)


def test_a_reconstruction(prior_folder):
    image, coarse = random_case(32, 32)
    update = dict(type='CorrespondenceUpdate', reconstruction=dict(type='UnchangedReconstruction'))
    refiner = build_refiner(dict(type='G4SegRefiner', prior=str(prior_folder), image_size=32, update=update))
    expected = refiner.prior.decode_latents(refiner.prior.encode_images(image[None]))[0]
    assert torch.equal(refiner.reconstruct(image, coarse, NAMES), expected)


def test_a_part_of_the_packages_name_elsewhere():
    """At the top of another module, where its qualified name is the same."""
    namespace = {'__name__': 'somebody_elses', 'Update': Update, 'register': register}
    with pytest.raises(ValueError, match=r'LikelihoodUpdate: .*updates.likelihood has a part of this name, too'):
        exec('@register\nclass LikelihoodUpdate(Update):\n    pass', namespace)


def test_a_cell_that_is_run_twice():
    namespace = {'__name__': 'notebook', 'Update': Update, 'register': register}
    for _ in range(2):
        exec('@register\nclass CellUpdate(Update):\n    pass', namespace)
    assert 'CellUpdate' in names_of(Update)


def test_two_parts_of_one_name():
    with pytest.raises(ValueError, match=r'OneStep: mmseg_g4seg.refiners.g4seg.reconstruction has a part of this name'):

        @register
        class OneStep(Reconstruction):
            pass


@register
class NarrowCRFRefiner(DenseCRFRefiner):
    """With a constructor of its own, whose options count in place of the parent's `from_config`."""

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__(CRFParameters(gaussian_sxy=width))


def test_a_subclass_with_options_of_its_own():
    assert build_refiner(dict(type='NarrowCRFRefiner', width=2.0)).parameters.gaussian_sxy == 2.0
    with pytest.raises(ValueError, match="NarrowCRFRefiner has no option 'preset'; DenseCRFRefiner has it"):
        build_refiner(dict(type='NarrowCRFRefiner', preset='irn'))


def test_names_of_a_kind():
    assert {'OneStep', 'NullTextInversion'} <= set(names_of(Reconstruction))
    assert 'MaskInjector' not in names_of(Reconstruction)


def test_a_built_part_passes_through():
    part = OneStep()
    assert build(part, Reconstruction) is part


def test_the_scope_of_a_base_in_a_package_is_no_option():
    """mmengine adds it to what a config takes from `mmseg_g4seg::...`, at any depth."""
    inner = {'type': 'CorrespondenceUpdate', 'features': {'type': 'DenoiserFeatures', '_scope_': 'mmseg_g4seg'}}
    config = {'type': 'X', 'update': inner, 'sizes': (1, 2), 'parts': [{'a': 1, '_scope_': 'y'}], '_scope_': 'z'}
    plain = without_scopes(config)
    assert '_scope_' not in repr(plain)
    assert plain['sizes'] == (1, 2)
    assert plain['parts'] == [{'a': 1}]
    assert inner['features']['_scope_'] == 'mmseg_g4seg'
