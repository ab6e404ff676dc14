import numpy as np
import pytest
import torch

from mmseg_g4seg import CascadePSPRefiner, build_refiner
from mmseg_g4seg.ops.binary_masks import merge_binary_masks
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.binary.cascade_psp import load_cascade_psp
from tests.conftest import NAMES, random_case

upstream = pytest.importorskip('segmentation_refinement.main')


@pytest.fixture(scope='module')
def release(tmp_path_factory):
    """Random weights in the format of the authors' release: a state dict saved from DataParallel."""
    torch.manual_seed(0)
    network = upstream.RefinementModule()
    # untrained, it answers 0.5 everywhere: louder last layers make masks with both sides of 0.5
    with torch.no_grad():
        for layer in (network.final_56[-1], network.final_21):
            layer.weight.mul_(100)
    folder = tmp_path_factory.mktemp('cascade_psp')
    torch.save({f'module.{name}': weight for name, weight in network.state_dict().items()}, folder / 'model')
    return folder


@pytest.fixture(scope='module')
def network(release):
    return load_cascade_psp(release / 'model')


@pytest.fixture(scope='module')
def peer(release):
    """The authors' own refiner."""
    return upstream.Refiner(device='cpu', model_folder=str(release), download_and_check_model=False)


def case():
    image, coarse = random_case(72, 90)
    return (image * 255).round() / 255, coarse


@pytest.mark.parametrize('fast', [True, False])
@pytest.mark.parametrize('max_side', [80, 96])
def test_identical_to_the_authors_refiner(network, peer, fast, max_side):
    image, coarse = case()
    mask = coarse.label_map == 1
    pixels = np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    expected = peer.refine(pixels, mask.numpy().astype(np.uint8) * 255, fast=fast, L=max_side)
    assert expected.std() > 5
    ours = CascadePSPRefiner(network, fast=fast, max_side=max_side)
    with torch.no_grad():
        refined = ours.refine_mask(image, mask, 0)
    assert np.array_equal((refined.numpy() * 255).astype('uint8'), expected)


def test_refines_every_class_and_merges(release):
    image, coarse = case()
    refiner = build_refiner(dict(type='CascadePSPRefiner', weights=str(release / 'model'), fast=True, max_side=80))
    refined = refiner.refine(image, coarse, ClassList(NAMES, background=0))
    torch.testing.assert_close(refined.probs.sum(0), torch.ones(72, 90))
    assert torch.equal(refined.label_map, refined.probs.argmax(0))
    with torch.no_grad():
        claims = torch.stack([refiner.refine_mask(image, coarse.label_map == c, 0) for c in range(1, 5)])
    torch.testing.assert_close(
        refined.probs, merge_binary_masks(coarse.probs, [1, 2, 3, 4], claims, background_index=0)
    )
    nobody = claims.amax(0) < 0.3
    assert nobody.any()
    assert (refined.label_map[nobody] == 0).all()


def test_small_classes_stay_out(network):
    image, coarse = case()
    labels = torch.zeros_like(coarse.label_map)
    prediction = Prediction(coarse.probs, labels)
    refiner = CascadePSPRefiner(network)
    assert refiner.refine(image, prediction, ClassList(NAMES, background=0)) is prediction


def test_no_download_unless_asked(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    with pytest.raises(FileNotFoundError, match='download=True'):
        build_refiner(dict(type='CascadePSPRefiner'))
    asked = []
    import segmentation_refinement.download as download

    monkeypatch.setattr(download, 'download_and_or_check_model_file', asked.append)
    with pytest.raises(FileNotFoundError):
        build_refiner(dict(type='CascadePSPRefiner', download=True))
    assert asked == [str(tmp_path / '.segmentation-refinement/model')]


def test_bad_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match='no weights at'):
        load_cascade_psp(tmp_path / 'none')
    (tmp_path / 'text').write_text('no weights')
    with pytest.raises(ValueError, match=r'text: expected the weights of CascadePSP'):
        load_cascade_psp(tmp_path / 'text')
    torch.save({'module.other': torch.zeros(1)}, tmp_path / 'other')
    with pytest.raises(ValueError, match=r'other: expected the weights of CascadePSP'):
        load_cascade_psp(tmp_path / 'other')


def test_bad_options():
    with pytest.raises(ValueError, match='max_side'):
        CascadePSPRefiner(torch.nn.Identity(), max_side=64)
    with pytest.raises(ValueError, match='min_area'):
        CascadePSPRefiner(torch.nn.Identity(), min_area=2)
