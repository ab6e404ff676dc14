"""What is recorded behind `panoptic_inference`: real Mask2Former code, and stand-ins with that interface."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

pytest.importorskip('detectron2', reason='Detectron2 is not installed')

from mmseg_g4seg import build_refiner
from mmseg_g4seg.hosts.detectron2.queries import QueryRecorder
from mmseg_g4seg.ops.panoptic import prediction_to_segments, segment_labels, segments_to_prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.panoptic import refine_panoptic
from tests.hosts.detectron2.mask2former import build_mask2former, random_inputs


@pytest.fixture(scope='module')
def mask2former():
    return build_mask2former()


def run(model, inputs):
    recorder = QueryRecorder(model)
    with torch.no_grad(), recorder.recording() as records:
        outputs = model(inputs)
    return outputs, records


def test_mask2former_explains_its_segments(mask2former):
    inputs = random_inputs()
    outputs, records = run(mask2former, inputs)
    assert len(records) == len(inputs)
    with torch.no_grad():
        plain = mask2former(inputs)
    for output, record, own in zip(outputs, records, plain, strict=True):
        id_map, info = output['panoptic_seg']
        assert id_map.equal(own['panoptic_seg'][0])
        assert len(info) >= 3
        assert record.explained >= 0.99
        assert record.masks.shape == (len(info), *id_map.shape)
        assert record.masks.dtype == torch.float16
        ids = [segment['id'] for segment in info]
        coarse = segments_to_prediction(segment_labels(id_map, ids), record.masks, len(ids), 0.0)
        assert prediction_to_segments(coarse.probs.argmax(dim=0), id_map, ids).equal(id_map)
        doubts = coarse.probs.amax(dim=0)[id_map > 0] < 0.9
        assert doubts.any()


def test_stuff_of_several_queries_is_one_segment(mask2former):
    """Without merging, each query would be a segment; with it the sky has the masks of all of them."""
    inputs = random_inputs(1)
    outputs, records = run(mask2former, inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask2former.metadata, 'thing_dataset_id_to_contiguous_id', {i: i for i in range(4)})
        apart, _ = run(mask2former, inputs)
    count = [len([s for s in o[0]['panoptic_seg'][1] if s['category_id'] == 0]) for o in (outputs, apart)]
    assert count[0] == 1 < count[1]
    assert records[0].explained == 1.0


def test_the_model_is_left_as_it_was(mask2former):
    before = dict(vars(mask2former))
    with pytest.raises(RuntimeError, match='stop'), QueryRecorder(mask2former).recording():
        raise RuntimeError('stop')
    assert vars(mask2former) == before
    own = mask2former.panoptic_inference
    mask2former.panoptic_inference = own
    try:
        run(mask2former, random_inputs(1))
        assert vars(mask2former)['panoptic_inference'] is own
    finally:
        del mask2former.panoptic_inference


def test_refined_by_its_own_masks(mask2former):
    (inputs,) = random_inputs(1)
    (output,), (record,) = run(mask2former, [inputs])
    names, image = mask2former.metadata.stuff_classes, inputs['image'] / 255
    refiner = build_refiner(dict(type='PAMRRefiner'))
    refined, info = refine_panoptic(refiner, image, *output['panoptic_seg'], names, query_masks=record.masks)
    hard, _ = refine_panoptic(refiner, image, *output['panoptic_seg'], names)
    id_map = output['panoptic_seg'][0]
    assert (refined == 0).equal(id_map == 0)
    assert not refined.equal(id_map)
    assert not refined.equal(hard)
    assert {s['id'] for s in info} == set(refined.unique().tolist()) - {0}


class Scorer(nn.Module):
    """Two queries side by side; `rule` says which wins where both claim a pixel."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def panoptic_inference(self, mask_cls, mask_pred):
        ids = self.rule(mask_pred).int() + 1
        return ids, [dict(id=1, category_id=0), dict(id=2, category_id=1)]

    def forward(self, inputs):
        logits = torch.full((2, 10, 20), 2.0)
        logits[0, :, 12:] = -2.0
        logits[1, :, :8] = -2.0
        scores = torch.tensor([[4.0, 0, 0], [0, 3.0, 0]])
        return [{'panoptic_seg': self.panoptic_inference(scores, logits)} for _ in inputs]


def test_another_rule_falls_back_and_says_so_once():
    """Confidence sharpened by a temperature changes which query wins, as in MaskDINO-like heads."""
    recorder = QueryRecorder(Scorer(lambda logits: logits[1] > 0))
    with (
        pytest.warns(UserWarning, match=r'Scorer: its queries explain 80.0 % .* below 99 %'),
        recorder.recording() as r,
    ):
        recorder.owner([{}, {}])
    assert [record.masks for record in r] == [None, None]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with recorder.recording() as again:
            recorder.owner([{}])
    assert again[0].explained == pytest.approx(0.8)


def test_models_without_queries_give_no_records():
    with QueryRecorder(nn.Linear(2, 2)).recording() as records:
        assert records == []


class OpenModel(Scorer):
    """As ODISE: the classes that it is asked about are its state, and stand in a head of its own."""

    def __init__(self):
        super().__init__(lambda logits: logits[0] < 0)
        self.metadata = SimpleNamespace(name='training')
        self.category_head = nn.Module()
        self.category_head.test_labels = [['person'], ['sky']]
        self.weight = nn.Parameter(torch.zeros(1))


class OpenWrapper(nn.Module):
    """As ODISE's `OpenPanopticInference`: other classes during forward, the training's again behind it."""

    def __init__(self, model, labels, metadata):
        super().__init__()
        self.model, self.labels, self.metadata = model, labels, metadata

    def forward(self, inputs):
        before = self.model.category_head.test_labels, self.model.metadata
        self.model.category_head.test_labels, self.model.metadata = self.labels, self.metadata
        results = self.model(inputs)
        self.model.category_head.test_labels, self.model.metadata = before
        return results


def test_open_vocabulary_names_are_those_of_the_call():
    metadata = SimpleNamespace(name='demo')
    model = OpenWrapper(OpenModel(), [['hot air balloon', 'balloon'], ['fish']], metadata)
    outputs, (record,) = run(model, [{}])
    assert model.model.category_head.test_labels == [['person'], ['sky']]
    assert record.labels == [['hot air balloon', 'balloon'], ['fish']]
    assert record.metadata is metadata
    assert record.explained == 1.0
    assert len(outputs) == 1


class Names(Refiner):
    """Changes nothing, and notes what the classes are called."""

    def refine_batch(self, images, predictions, classes, *, keys=None):
        self.seen = list(classes)
        return list(predictions)


def test_open_vocabulary_names_are_prompted():
    """Through the wrapper of this host, whose own metadata are the training's."""
    model = pytest.importorskip('mmseg_g4seg.hosts.detectron2.model')
    metadata = SimpleNamespace(name='demo', stuff_classes=['a', 'b'])
    inner = OpenWrapper(OpenModel(), [['hot air balloon', 'balloon'], ['fish']], metadata)
    refiner = Names()
    refined = model.RefinedModel(inner, refiner, input_format='RGB', outputs=['panoptic_seg']).eval()
    (output,) = refined([{'image': torch.zeros(3, 10, 20), 'height': 10, 'width': 20}])
    assert refiner.seen == [('hot air balloon', 'balloon'), ('fish',)]
    assert output['panoptic_seg'][0].equal(output['panoptic_seg_coarse'][0])
