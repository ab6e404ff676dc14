import importlib.util

import pytest

if importlib.util.find_spec('detectron2') is None:
    collect_ignore_glob: list[str] = []
else:
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
    def readable_truth(monkeypatch):
        """With numpy 2 the evaluator of April 2024 may not copy what it has to; upstream mended it in June 2024."""
        from detectron2.evaluation import sem_seg_evaluation

        monkeypatch.setattr(sem_seg_evaluation.load_image_into_numpy_array, '__defaults__', (True, None))
