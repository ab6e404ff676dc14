"""Whole benchmarks, tiny: what is measured adds up, and the paper's loop gives the product's masks."""

import json
import sys
import time

import pytest
import torch

from mmseg_g4seg.diffusion.families.flux import FluxPrior
from mmseg_g4seg.diffusion.families.stable_diffusion_3 import StableDiffusion3Prior
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.denoiser import DenoiserFeatures
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates.correspondence import CorrespondenceUpdate
from projects.benchmark import comparisons, run
from projects.benchmark.cases import make_case
from projects.benchmark.metered_prior import MeteredPrior
from projects.benchmark.options import BenchmarkOptions
from projects.benchmark.paper_loop import PaperLoop
from projects.benchmark.paths import PathBench
from projects.benchmark.results import ComparisonCost
from projects.benchmark.run import measure_comparison, run_benchmark
from projects.benchmark.stages import STAGES, MeteredFeatures, StageMeter, Stages
from projects.benchmark.table import format_report
from tests.conftest import ROOT
from tests.diffusion.pipelines import build_flux, build_sd3

SCRIPT = ROOT / 'projects/benchmark/__main__.py'


class Colours(FeatureExtractor):
    """Average colours of 4 x 4 patches, which only a decoded image shows."""

    reads_pixels = True

    def __call__(self, prior, latents, pixels=None):
        return torch.nn.functional.avg_pool2d(pixels, 4)


@pytest.fixture(scope='module')
def tiny():
    return load_prior('tiny')


@pytest.fixture(scope='module')
def report():
    return run_benchmark(BenchmarkOptions('tiny', size=32, classes=(1, 3), repeats=1, skip=['cascade-psp']))


@pytest.mark.slow
class TestReport:
    def test_stages_sum_to_the_total(self, report):
        for cost in report.paths:
            assert set(cost.seconds) == set(STAGES)
            assert cost.total_seconds == pytest.approx(sum(cost.seconds.values()))
            assert min(cost.seconds.values()) >= 0
            assert cost.seconds['other'] < 0.5 * cost.total_seconds, 'a stage goes uncounted'

    def test_every_path_at_every_count(self, report):
        assert [(c.classes, c.path) for c in report.paths] == [
            (k, path) for k in (1, 3) for path in ('batched', 'joint', 'loop')
        ]

    def test_flops_grow_as_the_method_says(self, report):
        flops = {(c.classes, c.path): c.flops for c in report.paths}
        for stage in ('encode', 'denoise', 'decode', 'features', 'text'):
            assert flops[3, 'loop'][stage] == pytest.approx(3 * flops[1, 'loop'][stage], rel=1e-6), stage
        assert flops[3, 'batched']['encode'] == flops[1, 'batched']['encode'] > 0
        assert flops[3, 'batched']['denoise'] == pytest.approx(3 * flops[1, 'batched']['denoise'])
        assert flops[3, 'batched']['features'] == pytest.approx(2 * flops[1, 'batched']['features']), 'original once'
        assert flops[3, 'batched']['text'] == 0 < flops[1, 'loop']['text']
        assert flops[3, 'joint']['denoise'] < 1.1 * flops[1, 'joint']['denoise']
        assert flops[1, 'batched']['decode'] == 0 < flops[1, 'loop']['decode']

    def test_loop_gives_the_same_masks(self, report):
        loops = [pair for pair in report.pairs if pair.path == 'loop']
        assert len(loops) == 2
        for pair in loops:
            assert pair.equal_labels >= 0.999
            assert pair.largest_difference < 1e-4
            assert pair.changed_labels > 0

    def test_injection_adds_little_work(self, report):
        for cost in report.injection:
            assert cost.plain_flops < cost.injected_flops < 1.1 * cost.plain_flops
            assert cost.images == cost.classes

    def test_cold_text_costs_more_than_warm(self, report):
        assert all(text.cold_seconds > text.warm_seconds for text in report.text)

    def test_table_has_every_row(self, report):
        table = format_report(report)
        for cost in report.paths:
            assert sum(line.split()[:2] == [str(cost.classes), cost.path] for line in table.splitlines()) >= 2
        for name in ('ms/image', 'ms/class', 'peak MB', 'GFLOP/image', 'equal labels', 'injection', 'dense-crf'):
            assert name in table
        assert f'{report.matrix_rate / 1e9:.1f} GFLOP/s' in table

    def test_goes_into_json(self, report):
        content = json.loads(json.dumps(report.as_dict()))
        assert content['setting']['architecture'] == 'tiny'
        assert len(content['paths']) == 6
        assert content['matrix_rate'] > 0
        assert content['parameters']['denoiser'] > 5e6


def refine_and_loop(prior, features, case, options):
    """The package's own refiner, and the loop."""
    stages = Stages()
    refiner = G4SegRefiner(
        prior,
        update=CorrespondenceUpdate(features=features),
        image_size=options.size,
        passes_per_batch=options.passes_per_batch,
    )
    loop = PaperLoop(MeteredPrior(prior, stages), MeteredFeatures(features, stages), options)
    return refiner.refine(case.image, case.prediction, case.class_names), loop(case)


@pytest.mark.parametrize('kind', [DenoiserFeatures, Colours], ids=['latents', 'image'])
@pytest.mark.parametrize('passes', [2, 8])
def test_loop_equals_refiner(tiny, kind, passes):
    case = make_case(5, 64)
    options = BenchmarkOptions('tiny', size=64, passes_per_batch=passes)
    expected, actual = refine_and_loop(tiny, kind(), case, options)
    torch.testing.assert_close(actual.probs, expected.probs, atol=1e-4, rtol=0)
    assert (actual.label_map == expected.label_map).double().mean() >= 0.999
    assert (actual.probs != case.prediction.probs).any()


@pytest.mark.parametrize(
    ('family', 'build'), [(StableDiffusion3Prior, build_sd3), (FluxPrior, build_flux)], ids=['sd3', 'flux']
)
def test_loop_equals_refiner_in_transformers(family, build):
    pipeline = build()
    prior = family(**{part: getattr(pipeline, part) for part in family.parts})
    case = make_case(3, 32)
    expected, actual = refine_and_loop(prior, DenoiserFeatures(), case, BenchmarkOptions('tiny', size=32))
    assert (actual.label_map == expected.label_map).double().mean() >= 0.999
    assert (actual.probs != case.prediction.probs).any()


def test_what_is_measured_is_left_as_it_was(tiny):
    before, known, processors = dict(vars(tiny)), dict(tiny.known_prompts), dict(tiny.unet.attn_processors)
    bench = PathBench(tiny, DenoiserFeatures(), BenchmarkOptions('tiny', size=32, repeats=1))
    case = make_case(1, 32)
    bench.measure(case)
    assert vars(tiny) == before
    assert known.keys() <= tiny.known_prompts.keys()
    assert tiny.unet.attn_processors == processors
    assert bench.stages.meter is None, 'nobody counts outside of a run'


@pytest.mark.parametrize('joint', [False, True])
def test_counting_changes_nothing(tiny, joint):
    case = make_case(3, 32)
    bench = PathBench(tiny, DenoiserFeatures(), BenchmarkOptions('tiny', size=32))
    plain = G4SegRefiner(tiny, update=CorrespondenceUpdate(joint=joint), image_size=32)
    expected = plain.refine(case.image, case.prediction, case.class_names)
    with bench.stages.counted(StageMeter(time.perf_counter)):
        actual = bench.paths(case)['joint' if joint else 'batched']()
    assert torch.equal(actual.probs, expected.probs)
    assert (actual.probs != case.prediction.probs).any()


def options(**changes):
    return BenchmarkOptions(**{'architecture': 'tiny', 'size': 32, 'repeats': 1, **changes})


class TestComparisons:
    def test_what_is_missing_is_said(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'pydensecrf', None)
        cost = measure_comparison('dense-crf', make_case(2, 32), options())
        assert cost.seconds is None
        assert 'pip install' in cost.missing

    def test_too_slow_with_fewer_classes(self):
        earlier = [ComparisonCost('dense-crf', 1, 1, 61.0)]
        cost = measure_comparison('dense-crf', make_case(4, 32), options(), earlier)
        assert cost.missing == 'over the limit at K = 1'

    def test_all_classes_go_in(self, monkeypatch):
        seen = []

        class Refiner:
            def refine(self, image, prediction, class_names):
                seen.append((image.shape, len(prediction.probs), len(class_names)))

        monkeypatch.setitem(comparisons.COMPARISONS, 'dense-crf', lambda _: Refiner())
        assert run.measure_comparison('dense-crf', make_case(4, 32), options(repeats=2)).runs == 2
        assert seen == [((3, 32, 32), 5, 5)] * 3

    def test_cascade_psp_is_built_without_weights(self):
        pytest.importorskip('segmentation_refinement.main')
        refiner = comparisons.build_cascade_psp(torch.device('cpu'))
        assert sum(weight.numel() for weight in refiner.network.parameters()) > 60e6


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'classes': []}, 'classes: expected numbers of at least 1'),
        ({'classes': [4, 0]}, 'classes: expected numbers of at least 1'),
        ({'repeats': 0}, 'repeats'),
        ({'passes_per_batch': 0}, 'passes_per_batch'),
        ({'dtype': 'float64'}, "dtype: expected one of .*got 'float64'"),
        ({'features': 'dino'}, "features: expected one of .*got 'dino'"),
        ({'skip': ['text']}, 'skip: expected some of'),
        ({'device': 'tpu9'}, "expected cpu, cuda or cuda:N, got 'tpu9'"),
        ({'device': 'meta'}, "expected cpu, cuda or cuda:N, got 'meta'"),
        ({'device': 'cuda:99'}, 'this machine has .* CUDA devices'),
    ],
)
def test_bad_options(changes, message):
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_size_that_the_prior_lacks():
    with pytest.raises(ValueError, match='positive multiples of 16, got'):
        run_benchmark(options(size=40))
