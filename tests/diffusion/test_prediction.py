import pytest
import torch

from mmseg_g4seg.diffusion.prediction import add_noise, noise_target, predict_x0

X0, NOISE = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)


@pytest.mark.parametrize('kind', ['epsilon', 'v_prediction', 'sample'])
@pytest.mark.parametrize('alpha', [0.02, 0.3, 0.999, torch.tensor([0.1, 0.9])])
def test_recovers_x0_from_the_exact_answer(kind, alpha):
    noisy = add_noise(X0, NOISE, alpha)
    recovered = predict_x0(noise_target(X0, NOISE, alpha, kind), noisy, alpha, kind)
    torch.testing.assert_close(recovered, X0, atol=1e-4, rtol=0)


@pytest.mark.parametrize('sigma', [0.05, 0.4, 0.95])
def test_recovers_x0_of_flow_matching(sigma):
    noisy = add_noise(X0, NOISE, 1 - sigma, 'flow_prediction')
    torch.testing.assert_close(noisy, (1 - sigma) * X0 + sigma * NOISE)
    assert torch.equal(noise_target(X0, NOISE, 1 - sigma, 'flow_prediction'), NOISE - X0)
    recovered = predict_x0(NOISE - X0, noisy, 1 - sigma, 'flow_prediction')
    torch.testing.assert_close(recovered, X0, atol=1e-4, rtol=0)


@pytest.mark.parametrize('kind', ['epsilon', 'v_prediction', 'sample'])
def test_equals_the_scheduler(kind):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)
    scheduler.set_timesteps(1000)
    output = torch.randn_like(X0)
    alpha = scheduler.alphas_cumprod[400]
    noisy = scheduler.add_noise(X0, NOISE, torch.tensor([400]))
    torch.testing.assert_close(add_noise(X0, NOISE, alpha), noisy)
    expected = scheduler.step(output, 400, noisy).pred_original_sample
    torch.testing.assert_close(predict_x0(output, noisy, alpha, kind), expected, atol=1e-5, rtol=1e-5)


def test_unknown_type():
    for function in (predict_x0, noise_target):
        with pytest.raises(ValueError, match="got 'other'"):
            function(X0, NOISE, 0.5, 'other')
