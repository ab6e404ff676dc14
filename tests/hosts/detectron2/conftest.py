import importlib.util

import pytest

if importlib.util.find_spec('detectron2') is not None:
    from . import toy

    @pytest.fixture(scope='session')
    def scenes(tmp_path_factory):
        """The toy data set, registered and with the weights of a model; the config of that."""
        folder = tmp_path_factory.mktemp('toy')
        toy.write_scenes(folder)
        toy.register_scenes(folder)
        cfg = toy.semantic_fpn(folder)
        toy.save_weights(cfg)
        return cfg

    @pytest.fixture(autouse=True)
    def readable_truth():
        with toy.readable_labels():
            yield
