"""What was computed once is computed still, on the embedded prior: by version 0.1.0's options, and by shipped configs.

The outputs were compared bit for bit when the code moved; what stands here bears another machine's rounding. The maps
are `shipped_maps.npz`, written by `python -m tests.refiners.g4seg.test_unchanged`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg import ClassList, Prediction, build_refiner
from tests.conftest import NAMES, ROOT

INJECTION = dict(type='MaskInjector', cross_weight=3.0, self_weight=0.3)
TINY = dict(type='LikelihoodUpdate', uncertain_below=0.8, sharpness=30.0, proportions=True, smoothing=3)
STREET = dict(
    TINY,
    uncertain_below=0.6,
    timesteps=(300, 400, 500),
    crops=2,
    smoothing=(3, 9, 21),
    candidate_threshold=0.05,
    sharpness=40.0,
)
PAPER = dict(
    type='CorrespondenceUpdate',
    beta=0.8,
    confidence_range=(0.2, 0.6),
    features=dict(type='DenoiserFeatures', block=0),
)
JOINT = dict(PAPER, joint=True)
NULL_TEXT = dict(type='NullTextInversion', steps=3, guidance=3.0, inner_steps=2)
VERSION_0_1_0 = {
    'tiny': (dict(update=TINY), [0.21301, 0.0073, 0.03648, 0.50202, 0.24119], 2821),
    'paper': (dict(update=PAPER), [0.17269, 0.2094, 0.24221, 0.15678, 0.21893], 104),
    'street': (
        dict(update=STREET, classes=dict(known=NAMES[:4])),
        [0.11062, 0.068, 0.08321, 0.51966, 0.21851],
        2469,
    ),
    'animals': (
        dict(
            update=dict(STREET, proportions=False, bound=0.4, draws=2, sharpness=20.0),
            classes=dict(known=NAMES[:4], background='sky'),
        ),
        [0.23061, 0.1611, 0.19181, 0.19798, 0.21851],
        946,
    ),
    'joint': (
        dict(update=dict(JOINT, features=dict(type='DenoiserFeatures'), beta=0.9)),
        [0.17241, 0.20922, 0.2419, 0.15758, 0.21889],
        62,
    ),
    'dense diffusion': (
        dict(update=JOINT, injection=dict(type='DenseDiffusionInjector', cross_weight=300.0)),
        [0.17262, 0.20944, 0.2424, 0.15669, 0.21886],
        105,
    ),
    'null-text': (
        dict(update=dict(JOINT, reconstruction=NULL_TEXT)),
        [0.1728, 0.20996, 0.24277, 0.15669, 0.21779],
        119,
    ),
    'soft': (dict(update=dict(JOINT, temperature=0.05)), [0.17253, 0.20913, 0.24249, 0.15675, 0.2191], 98),
    'guided': (dict(update=dict(TINY, upsampling='guided')), [0.20182, 0.00708, 0.03143, 0.51501, 0.24467], 2840),
}
"""Options, then the mean probability of each class and how many labels changed."""


def blurred_noise() -> tuple[torch.Tensor, Prediction]:
    """An image of soft blots, and a mask that is unsure nearly everywhere."""
    generator = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, 3, 8, 8, generator=generator), (64, 64), mode='bilinear')[0]
    coarse = torch.randn(1, 5, 10, 10, generator=generator)
    probs = F.interpolate(coarse * 1.5, (64, 64), mode='bilinear')[0].softmax(0)
    return image, Prediction(probs, probs.argmax(0))


@pytest.mark.parametrize('name', VERSION_0_1_0)
def test_the_figures_of_version_0_1_0(name):
    options, means, changed = VERSION_0_1_0[name]
    config = dict(type='G4SegRefiner', prior='tiny', image_size=64, min_area=0.002, passes_per_batch=16)
    refiner = build_refiner({'injection': INJECTION, **config, **options})
    image, coarse = blurred_noise()
    classes = ClassList(NAMES).with_options(refiner.class_options)
    refined = refiner.refine(image, coarse, classes, key='a')
    torch.testing.assert_close(refined.probs.mean((1, 2)), torch.tensor(means), atol=2e-4, rtol=0)
    assert abs(int((refined.label_map != coarse.label_map).sum()) - changed) <= 4


MAPS = Path(__file__).with_name('shipped_maps.npz')
SHIPPED = ('tiny', 'tiny_paper', 'tiny_crf', 'street', 'animals', 'sd21', 'flux')
"""Configs `g4seg_NAME.py`; those of priors that are no part of the package run on the embedded one."""
GRID, SCALE = slice(2, None, 5), 10_000


def on_the_tiny_prior(config: Any) -> Any:
    """A refiner's config with every prior and all features replaced by what needs no download."""
    if isinstance(config, list):
        return [on_the_tiny_prior(part) for part in config]
    if not isinstance(config, Mapping):
        return config
    if config.get('type') == 'OpenCLIPFeatures':
        return dict(type='DenoiserFeatures')
    replaced = {key: on_the_tiny_prior(value) for key, value in config.items()}
    if config.get('type') == 'G4SegRefiner':
        replaced.update(prior='tiny', image_size=32)
    # its tokenizer knows the words of the demo's scenes alone
    return {**replaced, 'classes': dict(known=NAMES[:4])} if 'classes' in config else replaced


def shipped_maps(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Every fifth pixel of what a shipped config makes: (C, h, w) float32 probabilities and (h, w) uint8 labels."""
    from mmengine.config import Config

    config = Config.fromfile(ROOT / f'configs/_base_/refiners/g4seg_{name}.py')
    refiner = build_refiner(on_the_tiny_prior(config.refiner.to_dict()))
    image, coarse = blurred_noise()
    classes = ClassList(NAMES).with_options(refiner.class_options)
    refined = refiner.refine(image, coarse, classes, key='a')
    return refined.probs[:, GRID, GRID].numpy(), refined.label_map[GRID, GRID].numpy().astype(np.uint8)


@pytest.mark.parametrize('name', SHIPPED)
def test_the_maps_of_shipped_configs(name):
    pytest.importorskip('mmengine')
    if name == 'tiny_crf':
        pytest.importorskip('pydensecrf')
    probs, labels = shipped_maps(name)
    with np.load(MAPS) as stored:
        np.testing.assert_allclose(probs, stored[f'{name}_probs'] / SCALE, atol=5e-4, rtol=0)
        # a tie may fall the other way by another machine's rounding
        assert (labels != stored[f'{name}_labels']).sum() <= 1
    coarse = blurred_noise()[1].probs[:, GRID, GRID].numpy()
    assert np.abs(probs - coarse).max() > 0.02, 'hardly anything was refined: the comparison says nothing'


if __name__ == '__main__':
    made = {name: shipped_maps(name) for name in SHIPPED}
    probs = {f'{name}_probs': (made[name][0] * SCALE).round().astype(np.uint16) for name in SHIPPED}
    np.savez_compressed(MAPS, **probs, **{f'{name}_labels': made[name][1] for name in SHIPPED})
