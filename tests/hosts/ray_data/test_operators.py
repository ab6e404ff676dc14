"""The operators of a pipeline on batches of this process, without a cluster."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mmseg_g4seg.refiners.build import ChainPart, cut_chain
from mmseg_g4seg.registry import types_in
from tests.hosts.folder.conftest import CLASSES, PAMR

from mmseg_g4seg.hosts.ray_data import dataset as dataset_module  # isort: skip
from mmseg_g4seg.hosts.ray_data.operators import RefineStages  # isort: skip
from mmseg_g4seg.hosts.ray_data.pipeline import Pipeline, Resources  # isort: skip
from mmseg_g4seg.hosts.ray_data.rows import Setting  # isort: skip
from tests.hosts.ray_data.in_process import InProcess, batch_of, refining  # isort: skip

CRF = dict(type='DenseCRFRefiner')
CHAIN = dict(type='SequentialRefiner', refiners=[PAMR, CRF, PAMR], classes=dict(background='cat'))


class Recorded:
    """In place of a dataset: the operators that were added, and how."""

    def __init__(self) -> None:
        self.added: list[tuple[Any, dict[str, Any]]] = []

    def map_batches(self, operator: Any, **options: Any) -> 'Recorded':
        self.added.append((operator, options))
        return self

    @property
    def names(self) -> list[str]:
        return [getattr(operator, '__name__', type(operator).__name__) for operator, _ in self.added]


def random_row(key: str, **more: Any) -> dict[str, Any]:
    generator = np.random.default_rng(len(key))
    scores = generator.random((len(CLASSES), 9, 8)).astype(np.float32)
    pixels = generator.integers(0, 256, (9, 8, 3), np.uint8)
    return {'image': pixels, 'key': key, 'scores': scores / scores.sum(axis=0), **more}


class TestCutChain:
    def test_where_it_leaves_the_gpu(self):
        assert cut_chain(CHAIN) == [ChainPart([PAMR], False), ChainPart([CRF], True), ChainPart([PAMR], False)]
        assert cut_chain(CRF) == [ChainPart([CRF], True)]

    def test_a_misspelt_option(self):
        with pytest.raises(ValueError, match="no option 'iteration'"):
            cut_chain(dict(CHAIN, refiners=[dict(PAMR, iteration=2)]))

    def test_parts_of_a_config(self):
        assert [cls.__name__ for cls in types_in(CHAIN)] == [
            'SequentialRefiner',
            'PAMRRefiner',
            'DenseCRFRefiner',
            'PAMRRefiner',
        ]
        assert types_in(None) == []


class TestPipeline:
    def add(self, **resources: Any) -> Recorded:
        recorded = Recorded()
        Pipeline(Setting(CLASSES), Resources(**resources), None).refined(recorded, CHAIN, dict(type='SeeDiff'))
        return recorded

    def test_operators_that_need_a_gpu_share_it(self):
        found = self.add(num_gpus=1, concurrency=4, batch_size=2)
        assert found.names == ['PredictCoarse', 'RefineStagesInActor', 'RefineStages', 'RefineStagesInActor']
        assert [options.get('num_gpus') for _, options in found.added] == [1 / 3, 1 / 3, None, 1 / 3]
        assert [getattr(options.get('compute'), 'max_size', None) for _, options in found.added] == [4, 4, None, 4]
        assert {options['batch_size'] for _, options in found.added} == {2}
        # the first must leave room for the others
        assert [getattr(options.get('compute'), 'min_size', None) for _, options in found.added] == [1, 1, None, 1]

    def test_one_model_alone_has_all_its_processes_at_once(self):
        recorded = Recorded()
        Pipeline(Setting(CLASSES), Resources(num_gpus=1, concurrency=4), None).refined(recorded, PAMR)
        [(_, options)] = recorded.added
        assert (options['compute'].min_size, options['compute'].max_size, options['num_gpus']) == (4, 4, 1)

    def test_on_the_cpu_nothing_is_cut(self):
        found = self.add()
        assert found.names == ['PredictCoarse', 'RefineStagesInActor']
        assert found.added[1][1]['fn_constructor_kwargs']['part'].stages == [PAMR, CRF, PAMR]

    @pytest.mark.parametrize('options', [dict(batch_size=0), dict(concurrency=0), dict(num_gpus=-1), dict(num_gpus=2)])
    def test_impossible(self, options):
        with pytest.raises(ValueError, match=f'{next(iter(options))}: expected '):
            Resources(**options)


class TestRows:
    def test_a_chain_in_parts_is_the_chain(self):
        pytest.importorskip('pydensecrf')
        row = random_row('a')
        whole = refining_chain([ChainPart([PAMR, CRF, PAMR], False)], row)
        parts = refining_chain(cut_chain(CHAIN), row)
        for name in ('scores', 'labels'):
            assert (whole[name][0] == parts[name][0]).all()
        records = [json.loads(found['report'][0]) for found in (whole, parts)]
        assert records[0]['stages'] == records[1]['stages'] == ['coarse', 'PAMR', 'dense CRF', 'refined']
        assert [*records[0]['seconds']] == [*records[1]['seconds']] == ['PAMR', 'dense CRF', 'PAMR #2']
        assert records[0]['class_pixels'] == records[1]['class_pixels']

    def test_a_row_at_fault_leaves_the_others(self):
        wrong = random_row('b')
        rows = refining(PAMR, ends=True)(
            batch_of(random_row('a'), {**wrong, 'image': wrong['image'][:4]}, random_row('ccc'))
        )
        reports = [json.loads(report) for report in rows['report']]
        assert reports[1] == {
            'name': 'b',
            'error': 'ValueError: expected scores of 4 x 8 (height x width) as the image has, got 9 x 8',
        }
        assert [report.get('pixels') for report in reports] == [72, None, 72]

    def test_labels_alone_and_labels_beside_scores(self):
        row = random_row('a')
        labels = np.zeros((9, 8), np.int64)
        both = refining(dict(type='FillVoid'))(batch_of({**row, 'labels': labels}))
        assert (both['labels'][0] == 0).all()
        assert (both['scores'][0] == row['scores']).all()
        del row['scores']
        alone = refining(dict(type='FillVoid'))(batch_of({**row, 'labels': labels}))
        assert alone['scores'][0].shape == (len(CLASSES), 9, 8)

    @pytest.mark.parametrize(
        ('wrong', 'said'),
        [
            (dict(scores=np.full((7, 9, 8), 0.2, np.float32)), f'expected scores of {len(CLASSES)} classes, got (7,'),
            (dict(scores=np.full((2, 9, 8), 0.5, np.float32)), f'expected scores of {len(CLASSES)} classes, got (2,'),
            (dict(labels=np.full((9, 8), 1.7)), 'expected labels of integers, got float64'),
        ],
    )
    def test_maps_that_do_not_fit_the_classes(self, wrong, said):
        rows = refining(PAMR, ends=True)(batch_of(random_row('a', **wrong)))
        assert said in json.loads(rows['report'][0])['error']

    @pytest.mark.parametrize('missing', ['image', 'key', 'scores'])
    def test_a_dataset_without_a_column_is_no_rows_fault(self, missing):
        row = random_row('a')
        del row[missing]
        with pytest.raises(ValueError, match=f"expected .*column '{missing}'"):
            refining(PAMR)(batch_of(row))

    def test_no_rows(self):
        assert refining(PAMR)({name: [] for name in random_row('a')}) == {'image': [], 'key': [], 'scores': []}

    def test_columns_of_the_user_may_be_called_report(self):
        found = refining(PAMR, ends=True)(batch_of(random_row('a', report='mine', more=3)))
        assert found['more'] == [3]
        assert json.loads(found['report'][0])['name'] == 'a'
        assert sorted(found) == ['image', 'key', 'labels', 'more', 'report', 'scores']


def refining_chain(parts: Sequence[ChainPart], row: Mapping[str, Any]) -> dict[str, list[Any]]:
    batch: dict[str, list[Any]] = batch_of(row)
    for part in parts:
        ends = part is parts[-1]
        batch = RefineStages(Setting(CLASSES), InProcess(), part=part, class_options={}, ends=ends)(batch)
    return batch


def test_a_source_by_its_name():
    assert dataset_module.source_config('SCLIP') == dict(type='ClipSegmentor', method='sclip')
    assert dataset_module.source_config(dict(type='SeeDiff', prior='tiny')) == dict(type='SeeDiff', prior='tiny')
    with pytest.raises(ValueError, match=r"coarse: expected one of .*, got 'slip'"):
        dataset_module.refine_dataset(None, 'tiny', ['sky', 'sea'], coarse='slip')
