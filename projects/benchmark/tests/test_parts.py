"""Cases, counters and clocks, each against what is known beforehand."""

import gc
import time

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.ops.masks import present_classes
from mmseg_g4seg.ops.posterior import uncertain_pixels
from projects.benchmark import recording
from projects.benchmark.cases import class_names, make_case
from projects.benchmark.device import matrix_rate, peak_memory
from projects.benchmark.explicit_attention import explicit_attention
from projects.benchmark.flops import counted_flops
from projects.benchmark.repeats import Timed, by_turns, median_run
from projects.benchmark.stages import STAGES, StageMeter

CPU = torch.device('cpu')


class TestFlops:
    def test_matrix_product(self):
        with counted_flops() as counter:
            torch.rand(3, 5) @ torch.rand(5, 7)
        assert counter.get_total_flops() == 2 * 3 * 5 * 7

    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize('bias', [False, True])
    def test_attention(self, dtype, bias):
        query, key = torch.rand(2, 3, 16, 8, dtype=dtype), torch.rand(2, 3, 11, 8, dtype=dtype)
        mask = torch.rand(16, 11, dtype=dtype) if bias else None
        with counted_flops() as counter, torch.no_grad():
            F.scaled_dot_product_attention(query, key, key, attn_mask=mask)
        assert counter.get_total_flops() == 2 * 3 * (2 * 16 * 11 * 8) * 2

    def test_explicit_attention_costs_as_much(self):
        query, key = torch.rand(2, 3, 16, 8), torch.rand(2, 3, 11, 8)
        with counted_flops() as counter:
            explicit_attention(query, key, key, torch.rand(2, 16, 11))
        assert counter.get_total_flops() == 2 * 3 * (2 * 16 * 11 * 8) * 2


class TestCases:
    @pytest.mark.parametrize('count', [1, 4, 16, 30])
    def test_every_class_is_there_and_unsure(self, count):
        case = make_case(count, 48)
        assert present_classes(case.prediction.label_map, count + 1) == list(range(count + 1))
        assert len(set(case.class_names)) == count + 1
        assert torch.equal(case.prediction.label_map, case.prediction.probs.argmax(0))
        assert uncertain_pixels(case.prediction.probs, (0.2, 0.6)).any()
        assert case.image.shape == (3, 48, 48)
        assert 0 <= case.image.min() < case.image.max() <= 1

    def test_same_seed_same_case(self):
        assert torch.equal(make_case(3, 16, seed=1).image, make_case(3, 16, seed=1).image)
        assert not torch.equal(make_case(3, 16, seed=1).image, make_case(3, 16, seed=2).image)

    def test_names(self):
        assert class_names(2) == ['background', 'aeroplane', 'bicycle']

    def test_more_classes_than_pixels(self):
        with pytest.raises(ValueError, match='1 to 3 in 2x2 pixels, got 4'):
            make_case(4, 2)


class TestStageMeter:
    def test_outermost_stage_counts_and_all_sum_to_the_whole(self):
        counter = iter([0, 1, 6, 10, 11, 20]).__next__
        meter = StageMeter(counter)
        with meter.whole():  # 0 to 20
            with meter.stage('features'), meter.stage('denoise'):  # 1 to 6
                pass
            with meter.stage('denoise'):  # 10 to 11
                pass
        assert meter.amounts == {**dict.fromkeys(STAGES, 0.0), 'features': 5, 'denoise': 1, 'other': 14}

    def test_counts_what_fails(self):
        meter = StageMeter(iter([0, 3, 5, 6]).__next__)
        for _ in range(2):
            with pytest.raises(RuntimeError), meter.stage('text'):
                raise RuntimeError
        assert meter.amounts['text'] == 4


class TestRepeats:
    def test_by_turns_within_the_limit(self):
        order = []

        def run(name, seconds):
            order.append(name)
            return Timed(seconds, len(order))

        runs = {'slow': lambda: run('slow', 2.0), 'fast': lambda: run('fast', 0.1)}
        results = by_turns(runs, repeats=3, limit_seconds=3.0)
        assert order == ['slow', 'fast', 'slow', 'fast', 'fast']
        assert [len(r) for r in results.values()] == [2, 3]

    def test_median_is_a_run(self):
        assert median_run([Timed(s, s) for s in (5.0, 1.0, 3.0)]).detail == 3.0
        assert median_run([Timed(s, s) for s in (5.0, 1.0)]).detail == 1.0


def test_matrix_rate_is_what_a_product_shows():
    rate = matrix_rate(CPU, torch.float32, repeats=2)
    a = torch.rand(512, 512)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    assert 0.1 < 2 * 512**3 / min(seconds) / rate < 10


def test_peak_memory_sees_what_is_gone_again():
    with peak_memory(CPU) as memory:
        torch.ones(64, 2**20).sum()  # 256 MB
    if memory.peak is None:
        pytest.skip('this system does not tell')
    assert memory.peak - memory.before > 200e6


def test_garbage_makes_no_room():
    """What was left over before, and is collected within the block, would hide what the block takes."""

    class Left:
        def __init__(self):
            self.itself, self.numbers = self, torch.ones(64, 2**20)

    gc.disable()
    try:
        Left()
        with peak_memory(CPU) as memory:
            gc.collect()
            torch.ones(64, 2**20).sum()
    finally:
        gc.enable()
    if memory.peak is None:
        pytest.skip('this system does not tell')
    assert memory.peak - memory.before > 200e6


def test_recording_is_measured():
    """On the embedded prior; the shipped figures are those of Stable Diffusion's sizes."""
    figures = recording.measure('tiny', 64, 1)
    assert figures['tokens'] == 64
    assert figures['recorded_mb'] >= figures['weights_mb'] > 0
    assert min(figures['plain_s'], figures['recorded_s'], figures['expansion_ms'], figures['growth_ms']) > 0
