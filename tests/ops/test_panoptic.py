import pytest
import torch

from mmseg_g4seg.ops.masks import soften_labels
from mmseg_g4seg.ops.panoptic import (
    VOID,
    decode_panoptic_deeplab,
    prediction_to_segments,
    segment_labels,
    segments_to_prediction,
)

ID_MAP = torch.tensor([[7, 7, 0, 2], [7, 2, 2, 0]], dtype=torch.int32)


def test_labels_are_places_of_ids():
    assert segment_labels(ID_MAP, [7, 2]).tolist() == [[0, 0, VOID, 1], [0, 1, 1, VOID]]
    assert segment_labels(ID_MAP, [2]).tolist() == [[VOID, VOID, VOID, 0], [VOID, 0, 0, VOID]]
    assert segment_labels(ID_MAP, []).unique().tolist() == [VOID]


def test_there_and_back():
    ids = [7, 2]
    coarse = segments_to_prediction(segment_labels(ID_MAP, ids), None, 2, 0.7)
    back = prediction_to_segments(coarse.label_map, ID_MAP, ids)
    assert back.equal(ID_MAP)
    assert back.dtype == torch.int32


def test_hard_segments_are_softened_and_void_is_sure():
    labels = segment_labels(ID_MAP, [7, 2])
    coarse = segments_to_prediction(labels, None, 2, 0.7)
    owned = labels != VOID
    torch.testing.assert_close(coarse.probs[:, owned], soften_labels(labels, 2, 0.7)[:, owned])
    assert coarse.probs[:, ~owned].amax(dim=0).tolist() == [1, 1]
    torch.testing.assert_close(coarse.probs.sum(dim=0), torch.ones(2, 4))


def test_far_void_would_be_the_largest_segments():
    """Blurred labels say nothing 50 pixels away; the first of two would be taken by argmax."""
    labels = torch.full((1, 100), VOID)
    labels[0, :3], labels[0, 3:10] = 0, 1
    probs = segments_to_prediction(labels, None, 2, 1.0).probs
    assert probs[:, 0, 90].tolist() == [0, 1]


def test_evidence_becomes_shares_and_each_segment_leads_at_home():
    labels = torch.tensor([[0, 0, 1, VOID]])
    evidence = torch.tensor([[[0.6, 0.2, 0.0, 0.1]], [[0.2, 0.6, 0.0, 0.3]]])
    given = evidence.clone()
    probs = segments_to_prediction(labels, evidence, 2, 0.0).probs
    assert evidence.equal(given)
    torch.testing.assert_close(probs[:, 0, 0], torch.tensor([0.9, 0.1]))
    # the second pixel is the first segment's by the model's rule, whatever its queries say; the third has no evidence
    assert 0.5 < probs[0, 0, 1] < 0.502
    assert probs[:, 0, 2].tolist() == [0, 1]
    assert probs[:, 0, 3].tolist() == [0, 1]
    assert probs.argmax(dim=0)[:, :3].equal(labels[:, :3])


def test_two_masks_that_meet_have_the_log_odds_of_both():
    logits = torch.tensor([[0.2, 1.0, 2.0]])
    evidence = torch.stack([logits.sigmoid(), (-logits).sigmoid()])
    probs = segments_to_prediction(torch.zeros(1, 3, dtype=torch.long), evidence, 2, 0.0).probs
    torch.testing.assert_close(probs.logit()[0], 2 * logits)


def test_faint_evidence_has_shares_that_sum_to_one():
    """In half precision the faintest is 6e-8, whose square is less than what sums are kept away from 0 by."""
    evidence = torch.full((3, 1, 2), 6e-8, dtype=torch.float16)
    probs = segments_to_prediction(torch.zeros(1, 2, dtype=torch.long), evidence, 3, 0.0).probs
    torch.testing.assert_close(probs.sum(dim=0), torch.ones(1, 2))


def test_void_stays_and_segments_stay_segments():
    """Whatever labels a refiner gives: void, another segment, none."""
    everywhere = torch.zeros(2, 4, dtype=torch.long)
    assert prediction_to_segments(everywhere, ID_MAP, [7, 2]).equal(torch.where(ID_MAP == 0, 0, 7).int())
    assert prediction_to_segments(everywhere - 1, ID_MAP, [7, 2]).equal(ID_MAP)
    assert prediction_to_segments(everywhere + 255, ID_MAP, [7, 2]).equal(ID_MAP)
    filled = prediction_to_segments(everywhere, ID_MAP, [7, 2], fill_void=True)
    assert filled.unique().tolist() == [7]


@pytest.mark.parametrize('seed', range(3))
def test_random_maps_come_back(seed):
    generator = torch.Generator().manual_seed(seed)
    id_map = torch.randint(0, 6, (16, 20), generator=generator) * 1000
    ids = [3000, 1000, 5000]
    evidence = torch.rand(3, 16, 20, generator=generator)
    for own in (evidence, evidence.half(), None):
        coarse = segments_to_prediction(segment_labels(id_map, ids), own, 3, 1.5)
        assert prediction_to_segments(coarse.probs.argmax(dim=0), id_map, ids).equal(id_map)


def test_panoptic_deeplab():
    ids = torch.tensor([[11003, -1], [11003, 2000]])
    assert decode_panoptic_deeplab(ids, 1000) == [
        {'id': 2000, 'category_id': 2},
        {'id': 11003, 'category_id': 11},
    ]
