import pytest
import torch

from projects.train_prior.precision import mixed_precision


@pytest.mark.parametrize(
    ('instructions', 'expected'), [('AVX512', torch.bfloat16), ('AVX2', torch.float32), ('DEFAULT', torch.float32)]
)
def test_a_cpu_that_emulates_bfloat16_computes_in_float32(monkeypatch, instructions, expected):
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: instructions)
    with mixed_precision('cpu'):
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == expected
