"""diffusers and transformers: what is said where they do not fit torch, and that they are quiet where they do."""

import importlib

import pytest
import torch

from mmseg_g4seg.diffusion import loading
from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from mmseg_g4seg.diffusion.weights import parts
from mmseg_g4seg.diffusion.weights.hub import without_loading_bar


def test_no_bars_while_parts_are_read(capfd):
    loading.load_prior('tiny')
    said = capfd.readouterr()
    assert 'Loading' not in said.out + said.err


@pytest.mark.parametrize('library', ['diffusers', 'transformers'])
def test_a_users_setting_of_bars_stays(library):
    logging = importlib.import_module(f'{library}.utils.logging')
    was_shown = logging.is_progress_bar_enabled()
    try:
        for setting, is_set in ((logging.enable_progress_bar, True), (logging.disable_progress_bar, False)):
            setting()
            with without_loading_bar(library):
                assert not logging.is_progress_bar_enabled()
            assert logging.is_progress_bar_enabled() is is_set
    finally:
        (logging.enable_progress_bar if was_shown else logging.disable_progress_bar)()


@pytest.mark.parametrize(
    ('version', 'remedy'), [('2.1.2+cpu', "'diffusers<0.36' 'transformers<4.56'"), ('2.6.0', 'pip install diffusers')]
)
def test_a_library_that_does_not_fit_torch(monkeypatch, version, remedy):
    def fail(name):
        raise AttributeError("module 'torch' has no attribute 'accelerator'")

    monkeypatch.setattr(torch, '__version__', version)
    monkeypatch.setattr(parts.importlib, 'import_module', fail)
    with pytest.raises(ImportError, match=r"has no attribute 'accelerator'") as error:
        parts.load_part(EMBEDDED_PRIORS['tiny'], 'unet', 'diffusers', 'UNet', torch.float32, None, {})
    assert remedy in str(error.value)
