"""The way of an image from a host to the models and back: few files, none twice, and those that the package names."""

import re
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch import Tensor

from mmseg_g4seg.hosts.folder import refine as refine_module
from mmseg_g4seg.hosts.folder import run_state as state_module
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners import g4seg
from mmseg_g4seg.refiners.g4seg.encoding import EncodedImage
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from tests.conftest import IMAGE_SIZE, NAMES, ROOT, random_case
from tests.hosts.folder.conftest import make_task
from tests.refiners.g4seg.making import make

PACKAGE = str(ROOT / 'mmseg_g4seg')
MOST = 6
DOCUMENTED = re.findall(r'^\d\. `([\w/.]+)`', g4seg.__doc__ or '', re.MULTILINE)
UPDATES = {
    'correspondence': lambda: CorrespondenceUpdate(confidence_range=(0.0, 1.0)),
    'likelihood': lambda: LikelihoodUpdate(timesteps=(300,), uncertain_below=1.0),
    'likelihood in crops': lambda: LikelihoodUpdate(timesteps=(300,), uncertain_below=1.0, crops=2),
}
RULES = {
    'correspondence': DOCUMENTED[3:5],
    'likelihood': ['refiners/g4seg/updates/likelihood.py', 'refiners/g4seg/noise_errors.py'],
}


def holds_image(value: object) -> bool:
    """Whether something is an image, a prediction, latents or the like, or a collection of them."""
    if isinstance(value, Tensor | Prediction | EncodedImage):
        return True
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(map(holds_image, inner))


def files_on_the_stack(frame: FrameType | None) -> list[str]:
    """The package's files from the first that holds an image down to this call; one that calls itself counts once."""
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    files: list[str] = []
    for frame in reversed(frames):
        name = frame.f_code.co_filename
        counts = bool(files) or any(map(holds_image, frame.f_locals.values()))
        if name.startswith(PACKAGE) and counts and files[-1:] != [name]:
            files.append(name)
    return [str(Path(name).relative_to(PACKAGE)) for name in files]


@contextmanager
def traced(prior):
    """The files on the stack at every call of each model of a prior."""
    models = {'U-Net': prior.unet, 'encoder': prior.vae.encoder, 'decoder': prior.vae.decoder}
    ways: dict[str, list[list[str]]] = {name: [] for name in models}
    hooks = [
        # the frame above the hook's own
        model.register_forward_pre_hook(lambda *_, own=ways[name]: own.append(files_on_the_stack(sys._getframe(1))))
        for name, model in models.items()
    ]
    try:
        yield ways
    finally:
        for hook in hooks:
            hook.remove()


def check(ways: dict[str, list[list[str]]]) -> None:
    assert ways['U-Net']
    assert ways['encoder']
    for model, found in ways.items():
        for way in found:
            assert len(way) <= MOST, f'{model}: {way}'
            assert len(way) == len(set(way)), f'{model}: a file twice: {way}'


@pytest.mark.parametrize('name', UPDATES)
def test_from_mmseg(prior, name, monkeypatch):
    pytest.importorskip('mmseg')
    from mmengine.registry import init_default_scope
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from mmseg_g4seg.hosts.mmseg import RefinedSegmentor
    from tests.hosts.mmseg.conftest import plain_config

    init_default_scope('mmseg')
    coarse = random_case(32, 32)[1]

    def predict(_, samples):
        samples[0].seg_logits, samples[0].pred_sem_seg = (
            PixelData(data=data) for data in (coarse.probs, coarse.label_map[None])
        )
        return samples

    options = dict(refiner=make(prior, update=UPDATES[name]()), class_names=NAMES, score_type='softmax')
    model = RefinedSegmentor(plain_config(Path(), Path()).model, **options).eval()
    # its random weights would see one class everywhere, which leaves nothing to ask
    monkeypatch.setattr(model.segmentor, 'predict', predict)
    sample = SegDataSample(metainfo=dict(img_path='a.png', ori_shape=(32, 32), img_shape=(32, 32)))
    with torch.no_grad(), traced(prior) as ways:
        model.predict(torch.rand(1, 3, 32, 32), [sample])
    check(ways)
    documented = [*DOCUMENTED[:3], *RULES[name.split()[0]], *DOCUMENTED[5:]]
    assert documented in ways['U-Net'], 'not what refiners/g4seg/__init__.py says'


@pytest.mark.parametrize('name', RULES)
def test_from_a_folder(prior, name, tmp_path, monkeypatch):
    monkeypatch.setattr(refine_module, 'build_refiner', lambda _: make(prior, update=UPDATES[name]()))
    written = {}

    def write(path, content, **options):
        written[path.name] = files_on_the_stack_of_any(sys._getframe(1))
        atomic_write(path, content, **options)

    monkeypatch.setattr(state_module, 'atomic_write', write)
    with traced(prior) as ways:
        report = refine_folder(make_task(tmp_path, count=1))
    assert report['errors'] == []
    check(ways)
    documented = ['hosts/folder/refine.py', *DOCUMENTED[1:3], *RULES[name.split()[0]], *DOCUMENTED[5:]]
    assert documented in ways['U-Net'], 'not what refiners/g4seg/__init__.py says'
    # by then the mask is bytes: all of the package's files count, from the one that lists the work
    hosts = [f'hosts/folder/{name}.py' for name in ('run', 'shares', 'refine', 'run_state')]
    assert written['image_0.png'] == hosts


def files_on_the_stack_of_any(frame: FrameType | None) -> list[str]:
    """As `files_on_the_stack`, whatever they hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('tests.hosts.test_way.holds_image', lambda _: True)
        return files_on_the_stack(frame)


def test_a_way_that_goes_back_is_noticed(prior):
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)

    class Bounced(OneStep):
        """Asks an update, out of a callback, while an update asks it."""

        def __call__(self, passes, images, layouts):
            again = CorrespondenceUpdate()
            passes.budget.run(lambda _: again(passes, images, [coarse], [[0]]), [0], passes.prior.device)
            return super().__call__(passes, images, layouts)

    with traced(prior) as ways:
        make(prior, update=CorrespondenceUpdate(reconstruction=Bounced())).refine(image, coarse, NAMES)
    assert any(way.count(DOCUMENTED[3]) == 2 for way in ways['U-Net'])
    with pytest.raises(AssertionError, match='U-Net'):
        check(ways)
