"""What the wrapper costs, on a Mask2Former of the real code in a small size."""

from importlib.util import find_spec

import pytest

pytest.importorskip('detectron2', reason='Detectron2 is not installed')
if find_spec('mask2former') is None:  # its import needs what `import_mask2former` does
    pytest.skip('Mask2Former is not installed', allow_module_level=True)

from mmseg_g4seg.hosts.detectron2 import RefinedModel
from projects.benchmark import wrapper


@pytest.fixture
def small():
    return wrapper.build_mask2former(depth=18, width=32, encoder_layers=1, queries=5)


def test_the_wrapper_is_timed_apart(small, monkeypatch):
    monkeypatch.setattr(wrapper, 'CALLS', 50)
    plain = wrapper.measure(small, height=64, width=96, repeats=1)
    assert 0 < plain['added_s'] < 0.01 * plain['forward_s']
    forward = RefinedModel.forward

    def slow(self, inputs):
        sum(range(200_000))
        return forward(self, inputs)

    monkeypatch.setattr(RefinedModel, 'forward', slow)
    assert wrapper.measure(small, height=64, width=96, repeats=1)['added_s'] > 100 * plain['added_s']


def test_the_command_prints_the_share(small, monkeypatch, capsys):
    monkeypatch.setattr(wrapper, 'CALLS', 20)
    monkeypatch.setattr(wrapper, 'build_mask2former', lambda: small)
    wrapper.main(['--height', '64', '--width', '96', '--repeats', '1'])
    shown = capsys.readouterr().out
    # a ResNet-18 has 100, an encoder layer 16, nine decoder layers 18 each; 34 are left of decoder, projections, heads
    assert f'{100 + 16 + 9 * 18 + 34} weights; 96x64' in shown
    assert 'wrapper' in shown
