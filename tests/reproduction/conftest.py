import huggingface_hub.constants
import pytest
from mmengine.registry import init_default_scope

import mmseg_g4seg  # noqa: F401


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Data, checkpoints and the hub's cache are looked for below an empty folder."""
    init_default_scope('mmseg')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
