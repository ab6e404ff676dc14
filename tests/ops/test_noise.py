import torch

from mmseg_g4seg.ops.noise import image_noise


def test_depends_on_seed_key_and_draw_alone():
    base = image_noise((4, 8, 8), seed=1, key='a.png')
    torch.manual_seed(123)
    assert torch.equal(base, image_noise((4, 8, 8), seed=1, key='a.png'))
    for other in ({'seed': 2, 'key': 'a.png'}, {'seed': 1, 'key': 'b.png'}, {'seed': 1, 'key': 'a.png', 'draw': 1}):
        assert not torch.equal(base, image_noise((4, 8, 8), **other))


def test_does_not_touch_the_global_generator():
    state = torch.random.get_rng_state()
    image_noise((4, 8, 8), seed=0, key=0)
    assert torch.equal(state, torch.random.get_rng_state())


def test_is_standard_normal():
    noise = image_noise((4, 64, 64), seed=0, key=0)
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.03
