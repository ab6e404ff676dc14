"""Operators pass on the classes that an image may have, as the folder host does in one process."""

import pytest

from mmseg_g4seg.hosts.folder.refine import MaskWorker
from mmseg_g4seg.hosts.folder.run import begin
from tests.hosts.folder.test_present import CLASSES, CONFIGS, worker_of
from tests.hosts.folder.timeless import timeless

pytest.importorskip('ray')


def test_rows_give_the_file_and_the_record_of_one_process(tmp_path):
    import pickle

    from mmseg_g4seg.hosts.ray_data.folder import ReadFiles, WriteFiles
    from mmseg_g4seg.hosts.ray_data.operators import RefineStages, record_of
    from mmseg_g4seg.hosts.ray_data.rows import Setting
    from mmseg_g4seg.refiners.build import cut_chain

    task, _ = worker_of(tmp_path, CONFIGS['one object at a time'])
    plan, state = begin(task)
    worker, [job] = MaskWorker(task, state), plan.jobs
    content, record = worker.refine(job)
    setting = Setting(CLASSES)
    row = ReadFiles(setting, None, worker=worker).process({'key': job.name, 'job': pickle.dumps(job)})
    assert len(row['scores']) == 3
    for part in cut_chain(task.refiner):
        row = RefineStages(setting, None, part=part, class_options={}, device='cpu').process(row)
    WriteFiles(setting, None, worker=worker).process(row)
    assert job.result.read_bytes() == content
    assert timeless(record_of(row, None, CLASSES)) == timeless(record)
