import pytest
import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.refiners.binary.seg_refiner import SegRefinerRefiner, fine_probability, load_seg_refiner
from mmseg_g4seg.refiners.binary.seg_refiner_network import SegRefinerUNet
from tests.conftest import NAMES, random_case

SMALL = dict(channels=32, multipliers=(1, 1), blocks=1, attention_strides=(2,), heads=2)


class Threshold(torch.nn.Module):
    """Stands for the network: sure that the object is where the image is bright, but for a dim band."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.timesteps = []

    def forward(self, inputs, timestep):
        self.timesteps.append((timestep, tuple(inputs.shape)))
        return inputs[:, :1] * 8 * self.weight


def test_has_the_shape_of_the_released_checkpoints():
    with torch.device('meta'):
        network = SegRefinerUNet()
    # the size and the names of the authors' own network, DenoiseUNet of segrefiner_hr.py
    assert sum(p.numel() for p in network.parameters()) == 118_604_673
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    assert shapes['time_embed.weight'] == (6, 512)
    assert shapes['input_blocks.17.1.qkv.weight'] == (1536, 512, 1)
    assert shapes['input_blocks.13.0.skip_connection.weight'] == (512, 256, 1, 1)
    assert shapes['middle_block.2.out_layers.3.weight'] == (512, 512, 3, 3)
    assert shapes['output_blocks.2.2.conv.weight'] == (512, 512, 3, 3)
    assert shapes['out.2.weight'] == (1, 128, 3, 3)


def test_attention_is_softmax_attention_per_head():
    torch.manual_seed(0)
    block = SegRefinerUNet(**SMALL).input_blocks[3][1]
    hidden = torch.randn(2, 32, 3, 4)
    qkv = block.qkv(block.norm(hidden.flatten(2))).reshape(4, 48, 12)
    query, key, value = qkv.split(16, dim=1)
    weights = (torch.einsum('nct,ncs->nts', query, key) / 4).softmax(-1)
    expected = block.proj_out(torch.einsum('nts,ncs->nct', weights, value).reshape(2, 32, 12)).view_as(hidden) + hidden
    torch.testing.assert_close(block(hidden), expected)


def test_fine_probability_grows_with_confidence_to_certainty():
    sure, unsure = torch.tensor([20.0]), torch.tensor([0.0])
    fine = {True: torch.zeros(1), False: torch.zeros(1)}
    for timestep in range(5, -1, -1):
        fine = {
            True: fine_probability(fine[True], sure, timestep),
            False: fine_probability(fine[False], unsure, timestep),
        }
        assert fine[False] == 0
    assert fine[True] == pytest.approx(1.0)
    # by hand: confidence 0.5, from timestep 3 (0.32 still coarse) to 2 (0.48)
    half = torch.tensor([1.0986123])  # sigmoid 0.75
    expected = 0.1 + 0.9 * 0.5 * 0.16 / (1 - 0.5 * 0.32)
    assert fine_probability(torch.tensor([0.1]), half, 3).item() == pytest.approx(expected, abs=1e-5)


def bright_square(side=96):
    image = torch.zeros(3, side, side)
    image[:, 24:70, 24:70] = 1.0
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[30:80, 20:60] = True
    return image, mask


def test_five_steps_on_the_whole_then_one_on_patches():
    image, mask = bright_square()
    image[:, 40:50] = 0.47  # near the mean: the network is unsure there
    network = Threshold()
    refined = SegRefinerRefiner(network, side=32).refine_mask(image, mask, 'a')
    assert [t for t, _ in network.timesteps[:5]] == [5, 4, 3, 2, 1]
    assert all(shape == (1, 4, 32, 32) for _, shape in network.timesteps[:5])
    assert [t for t, _ in network.timesteps[5:]] == [0]
    assert network.timesteps[5][1][0] > 1
    assert ((refined > 0.5) == (image[0] > 0.485))[:, 8:-8].float().mean() > 0.95


def test_images_below_the_side_go_through_once():
    image, mask = bright_square()
    network = Threshold()
    refined = SegRefinerRefiner(network, side=128).refine_mask(image, mask, 'a')
    assert [t for t, _ in network.timesteps] == [5, 4, 3, 2, 1]
    assert refined.shape == (96, 96)


def test_draws_depend_on_the_key_alone(tmp_path):
    torch.manual_seed(0)
    network = SegRefinerUNet(**SMALL)
    image, coarse = random_case(40, 48)
    refiner = SegRefinerRefiner(network, side=32)
    cases = ([image, image], [coarse, coarse], NAMES)
    first, second = refiner.refine_batch(*cases, keys=['a', 'b'])
    assert torch.equal(refiner.refine(image, coarse, NAMES, key='a').probs, first.probs)
    assert not torch.equal(first.probs, second.probs)
    torch.testing.assert_close(first.probs.sum(0), torch.ones(40, 48))


def test_loads_the_authors_format(tmp_path, monkeypatch):
    import mmseg_g4seg.refiners.binary.seg_refiner as module

    monkeypatch.setattr(module, 'SegRefinerUNet', lambda: SegRefinerUNet(**SMALL))
    saved = SegRefinerUNet(**SMALL)
    state = {f'denoise_model.{name}': weight for name, weight in saved.state_dict().items()}
    path = tmp_path / 'segrefiner_hr_latest.pth'
    torch.save({'meta': {'iter': 1}, 'state_dict': {**state, 'loss.other': torch.zeros(1)}}, path)
    loaded = load_seg_refiner(path)
    for name, weight in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)
    image, coarse = random_case(40, 48)
    refiner = build_refiner({'type': 'SegRefinerRefiner', 'weights': str(path), 'side': 32})
    assert refiner.refine(image, coarse, NAMES).label_map.shape == (40, 48)
    with pytest.raises(FileNotFoundError, match='no weights at'):
        load_seg_refiner(tmp_path / 'none')
    torch.save({'state_dict': {'denoise_model.x': torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match='expected the weights of SegRefiner'):
        load_seg_refiner(path)


def test_bad_side():
    with pytest.raises(ValueError, match='side'):
        SegRefinerRefiner(Threshold(), side=100)
