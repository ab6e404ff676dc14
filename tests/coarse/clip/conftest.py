import pytest

from tests.clip_folder import write_clip_folder


@pytest.fixture(scope='session')
def clip_folder(tmp_path_factory):
    return write_clip_folder(tmp_path_factory.mktemp('clip'))


@pytest.fixture(scope='session')
def dinov2_folder(tmp_path_factory):
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp('dinov2')
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    Dinov2Model(Dinov2Config(image_size=28, patch_size=14, **sizes)).save_pretrained(folder)
    return folder
