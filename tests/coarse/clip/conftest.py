import pytest

from tests.clip_folder import write_clip_folder


@pytest.fixture(scope='session')
def clip_folder(tmp_path_factory):
    return write_clip_folder(tmp_path_factory.mktemp('clip'))
