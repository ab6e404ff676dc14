"""Runs over many files: whole or not at all, resumed, failures named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.hosts.mmseg.converters import batch
from mmseg_g4seg.hosts.mmseg.converters.batch import Job, Summary, run_jobs, summary_text

CALLS: list[int] = []


def convert(source: int) -> np.ndarray:
    """A map of one id; 9 cannot be converted."""
    CALLS.append(source)
    if source == 9:
        raise ValueError('nine is bad')
    return np.full((2, 3), source, np.uint8)


@pytest.fixture
def jobs(tmp_path) -> list[Job]:
    CALLS.clear()
    return [Job(i, tmp_path / 'out' / f'{i}.png', f'file {i}') for i in (1, 9, 2)]


def test_writes_and_counts(jobs):
    summary = run_jobs(jobs, convert, description='test')
    assert (summary.written, summary.skipped, summary.failures) == (2, 0, [('file 9', 'nine is bad')])
    assert summary.pixels[[1, 2, 9]].tolist() == [6, 6, 0]
    assert sorted(path.name for path in jobs[0].target.parent.iterdir()) == ['1.png', '2.png']
    assert np.asarray(Image.open(jobs[2].target)).tolist() == [[2, 2, 2]] * 2


def test_goes_on_where_it_stopped(jobs):
    run_jobs(jobs[:1], convert, description='test')
    CALLS.clear()
    summary = run_jobs(jobs, convert, description='test')
    assert CALLS == [9, 2]
    assert (summary.written, summary.skipped) == (1, 1)
    assert summary.pixels[1] == 6  # what was skipped counts, too


def test_a_damaged_result_is_made_anew(jobs):
    run_jobs(jobs[:1], convert, description='test')
    whole = jobs[0].target.read_bytes()
    jobs[0].target.write_bytes(whole[: len(whole) // 2])
    summary = run_jobs(jobs[:1], convert, description='test')
    assert (summary.written, summary.skipped) == (1, 0)
    assert jobs[0].target.read_bytes() == whole


def test_overwrite(jobs):
    run_jobs(jobs[:1], convert, description='test')
    assert run_jobs(jobs[:1], convert, description='test', overwrite=True).written == 1


def test_a_kill_leaves_no_half_file(jobs, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs[:1], convert, description='test')
    assert list(jobs[0].target.parent.iterdir()) == []


@pytest.mark.slow
def test_processes_give_the_same(jobs, tmp_path):
    other = [Job(job.source, tmp_path / 'two' / job.target.name, job.name) for job in jobs]
    one, two = run_jobs(jobs, convert, description='test'), run_jobs(other, convert, description='test', workers=2)
    assert (one.written, one.failures, one.pixels.tolist()) == (two.written, two.failures, two.pixels.tolist())
    for a, b in zip(jobs, other, strict=True):
        assert a.target.exists() == b.target.exists()
        assert not a.target.exists() or a.target.read_bytes() == b.target.read_bytes()


def test_refusals(jobs):
    with pytest.raises(ValueError, match='no files'):
        run_jobs([], convert, description='test')
    with pytest.raises(ValueError, match='at least 1, got 0'):
        run_jobs(jobs, convert, description='test', workers=0)
    with pytest.raises(ValueError, match='same path'):
        run_jobs([jobs[0], jobs[0]], convert, description='test')


def test_summary_text():
    pixels = np.zeros(256, np.int64)
    pixels[[0, 1, 255]] = 50, 25, 25
    text = summary_text(Summary(3, 1, [('a.png', 'bad')], pixels), ['sky', 'road'])
    assert text.split('\n') == [
        '3 written, 1 already there, 1 failed',
        '    0 sky               50.00 %',
        '    1 road              25.00 %',
        '  255 ignored           25.00 %',
        'failed: a.png: bad',
    ]


def test_count_ids():
    counts = batch.count_ids(np.array([[0, 0], [3, 255]], np.uint8))
    assert counts.shape == (256,)
    assert counts[[0, 1, 3, 255]].tolist() == [2, 0, 1, 1]
