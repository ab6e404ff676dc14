"""Class activation maps beside a plain loop; the classifiers that they can be read in, and their files."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg import load_source
from mmseg_g4seg.coarse.cam import CAMSource
from mmseg_g4seg.coarse.classifiers import MapClassifier, load_classifier
from mmseg_g4seg.prediction import ClassList

models = pytest.importorskip('torchvision.models')
NAMES = ['cat', 'dog', ('bird', 'avian')]
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def small_resnet() -> torch.nn.Module:
    torch.manual_seed(0)
    network = models.resnet.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3).eval()
    torch.nn.init.normal_(network.fc.weight)
    return network


@pytest.fixture(scope='module')
def resnet():
    return small_resnet()


@pytest.fixture(scope='module')
def source(resnet):
    return CAMSource(MapClassifier(resnet), names=NAMES)


def run_stages(network, pixels):
    found = network.maxpool(network.relu(network.bn1(network.conv1(pixels))))
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        found = stage(found)
    return found


def test_equals_irns_rule_in_a_plain_loop(resnet, source):
    image = torch.rand(3, 37, 50)
    total = torch.zeros(2, 37, 50)
    with torch.no_grad():
        for scale, size in ((1.0, (37, 50)), (0.5, (18, 25)), (1.5, (56, 75)), (2.0, (74, 100))):
            assert size == (round(37 * scale), round(50 * scale))
            resized = F.interpolate(image[None], size, mode='bicubic', antialias=True)[0].clamp(0, 1)
            pixels = (resized - MEAN[:, None, None]) / STD[:, None, None]
            for k, output in enumerate((2, 0)):
                for flipped in (False, True):
                    features = run_stages(resnet, (pixels.flip(-1) if flipped else pixels)[None])[0]
                    cam = torch.einsum('dhw,d->hw', features, resnet.fc.weight[output]).clamp(min=0)
                    cam = cam.flip(-1) if flipped else cam
                    total[k] += F.interpolate(cam[None, None], (48, 64), mode='bilinear')[0, 0, :37, :50]
        expected = torch.stack([t / (t.max() + 1e-5) for t in total])
    assert expected.amin() < 0.1
    with torch.no_grad():
        torch.testing.assert_close(source.score(image, ['bird', 'cat']), expected, rtol=0, atol=1e-5)
    found = source.predict_present(image, ClassList(['background', 'cat', 'dog', 'bird']), [1, 3])
    labels = torch.cat([torch.full((1, 37, 50), 0.15), expected]).argmax(dim=0)
    assert torch.equal(found.label_map, torch.tensor([0, 3, 1])[labels])
    assert found.probs[2].abs().sum() == 0


@pytest.mark.parametrize('size', [(1, 1), (7, 2000)])
def test_odd_images(source, size):
    found = source.predict(torch.rand(3, *size), ['background', 'cat', 'dog'])
    assert found.label_map.shape == size
    torch.testing.assert_close(found.probs.sum(dim=0), torch.ones(size))


def test_batch_and_order_do_not_matter(source):
    images, names = [torch.rand(3, 20, 28), torch.rand(3, 33, 17)], ['background', 'cat', 'dog']
    together = source.predict_batch(images, names)
    turned = source.predict_batch(images[::-1], names)[::-1]
    for image, one, other in zip(images, together, turned, strict=True):
        alone = source.predict(image, names)
        assert torch.equal(one.probs, alone.probs)
        assert torch.equal(other.probs, alone.probs)


def test_a_folder_of_weights(resnet, tmp_path, monkeypatch):
    monkeypatch.setattr(models, 'get_model', lambda *_, **_given: small_resnet())
    torch.save({'state_dict': resnet.state_dict()}, tmp_path / 'w.pth')
    (tmp_path / 'classes.txt').write_text('background\ncat\ndog\nbird\n')
    options = dict(model='resnet10', weights=str(tmp_path / 'w.pth'))
    loaded = load_source('cam', names=str(tmp_path / 'classes.txt'), **options)
    image = torch.rand(3, 32, 32)
    expected = CAMSource(MapClassifier(resnet), names=NAMES).predict(image, ['background', 'dog']).probs
    torch.testing.assert_close(loaded(image, ['background', 'dog'], probs=True), expected)
    with pytest.raises(ValueError, match=r"expected some of those of the classifier, .*got 'fish'"):
        loaded(image, ['background', 'fish'])
    with pytest.raises(ValueError, match=r'one for each of the .* 3 outputs, got 1'):
        load_source('cam', names=['cat'], **options)
    with pytest.raises(FileNotFoundError, match=r'no file .*none\.pth'):
        load_source('cam', model='resnet10', weights=tmp_path / 'none.pth', names=NAMES)
    torch.save({'x': torch.zeros(1)}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='expected the weights of resnet10 with 3 outputs'):
        load_source('cam', model='resnet10', weights=tmp_path / 'x.pth', names=NAMES)


def test_irns_checkpoint_is_a_resnet_with_a_grid_of_a_sixteenth(tmp_path):
    network = models.resnet50(num_classes=20).eval()
    state = {f'resnet50.{name}': w for name, w in network.state_dict().items() if not name.startswith('fc.')}
    # its modules hold the same weights under a second and a third name
    state |= {f'stage4.0.{name}': w for name, w in network.layer4.state_dict().items()}
    state |= {'classifier.weight': torch.randn(20, 2048, 1, 1), 'newly_added.0.weight': torch.zeros(20, 2048, 1, 1)}
    torch.save(state, tmp_path / 'res50_cam.pth')
    loaded = load_classifier('resnet50', tmp_path / 'res50_cam.pth', 20)
    network.layer4[0].conv2.stride = network.layer4[0].downsample[0].stride = (1, 1)
    image = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        features = run_stages(network, (image - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1))
        expected = F.relu(F.conv2d(features, state['classifier.weight']))
        assert expected.shape == (1, 20, 3, 4)
        torch.testing.assert_close(loaded.maps(image), expected, rtol=1e-4, atol=1e-4)


def test_timms_classifiers_and_those_without_maps():
    timm = pytest.importorskip('timm')
    network = timm.create_model('resnet10t', num_classes=3)
    classifier = MapClassifier(network)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = classifier.maps(image)
    assert maps.shape == (1, 3, 2, 2)
    assert maps.amin() >= 0
    for other in (
        timm.create_model('convnext_atto', num_classes=3),  # a norm behind the pooling
        timm.create_model('vit_tiny_patch16_224', num_classes=3, img_size=96),
        timm.create_model('vit_tiny_patch16_224', num_classes=3),  # which asserts that an image has 224 pixels
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 3)),
    ):
        with pytest.raises(ValueError, match=r'expected a classifier of global average pooling|expected features'):
            MapClassifier(other)


@pytest.mark.parametrize('options', [dict(scales=[]), dict(scales=[0]), dict(background_score=0.0)])
def test_bad_options(resnet, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        CAMSource(MapClassifier(resnet), names=NAMES, **options)
